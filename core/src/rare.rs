//! [`Rare`]: what most connections never use, or only while they are busy. It takes no room until
//! something changes it, and none again once it is as it was at first. This file must not know what
//! is kept.

use std::ops::{Deref, DerefMut};

/// Something that begins with nothing in it.
pub(crate) trait Blank: Default + 'static {
    /// As it begins, for those who only look.
    const BLANK: &'static Self;
}

/// A value that is made when it is first changed, or borrowed to be changed: whoever would change
/// nothing asks with [`get_mut`](Self::get_mut).
#[derive(Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// One that takes no room.
    pub(crate) const NONE: Self = Self(None);

    /// With this in it from the beginning.
    pub(crate) fn new(value: T) -> Self {
        Self(Some(Box::new(value)))
    }

    /// What there is, without making it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Gives its room back if there is nothing in it.
    pub(crate) fn release_if(&mut self, is_blank: impl FnOnce(&T) -> bool) {
        if self.0.as_deref().is_some_and(is_blank) {
            self.0 = None;
        }
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T: Blank> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::BLANK)
    }
}

impl<T: Blank> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Names {
        list: Vec<&'static str>,
    }

    impl Blank for Names {
        const BLANK: &'static Self = &Self { list: Vec::new() };
    }

    #[test]
    fn it_takes_room_only_while_there_is_something_in_it() {
        let mut names = Rare::<Names>::default();
        assert!(names.list.is_empty() && names.get_mut().is_none());
        names.list.push("a");
        names.release_if(|names| names.list.is_empty());
        assert_eq!(names.list, ["a"]);
        names.list.clear();
        names.release_if(|names| names.list.is_empty());
        assert!(names.get_mut().is_none());
    }
}
