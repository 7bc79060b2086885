//! Random networks and random mixes of everything at once, each from one number.
//!
//! A seed makes a [`Plan`]: clients, NATs, lines, settings, streams that end well or are cut,
//! datagrams, closes, blackouts, rebindings, migrations, HTTP/3. [`run`] plays it to its end in virtual time
//! and checks what must hold whatever happens (`run.rs` says what). A violation is a panic: the
//! caller knows the seed.

mod account;
mod ledger;
mod lines;
mod mix_stream;
mod plan;
mod run;
mod session;
mod settings;
mod stream;
mod task;
mod watch;
mod web;
mod web_client;
mod web_ledger;
mod web_server;
mod window;
mod world;

pub use account::Account;
pub use ledger::{Flow, Ledger};
pub use plan::{ClientPlan, Ending, Op, Plan};
pub use run::{Summary, run, run_captured};
pub use task::Task;
pub use web::{WebEnding, WebPlan, WebRequest};
pub use web_ledger::WebLedger;
