//! [`Environment`]: what the runner says to an endpoint, in environment variables; for runs without
//! its containers, the folders and the port can be elsewhere.

use clap::{Args, ValueEnum};

/// What both endpoints are told.
#[derive(Clone, Debug, Args)]
pub struct Environment {
    /// The test case's name.
    #[arg(long, env = "TESTCASE", default_value = "")]
    pub testcase: String,
    /// The role that the runner wants; must be this program's.
    #[arg(long, env = "ROLE")]
    pub role: Option<String>,
}

impl Environment {
    /// Checks that the runner wants this role.
    pub fn check_role(&self, role: &str) -> Result<(), String> {
        match &self.role {
            Some(wanted) if wanted != role => {
                Err(format!("ROLE is {wanted}, and this program is the {role}"))
            }
            _ => Ok(()),
        }
    }
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// HTTP/0.9 on streams, `hq-interop`.
    Hq,
    /// HTTP/3.
    H3,
}
