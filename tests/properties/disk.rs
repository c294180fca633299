//! The directory, as the reference machine records it.

use std::collections::BTreeMap;

use locket_model::spec::File;

use super::ops::{Change, Entry};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File(File),
    /// A symbolic link to `Other`. `Other` is never a link, so there are no loops.
    Link,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) contents: &'static str,
    /// `None`: the mode of a new file.
    pub(crate) mode: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) entries: BTreeMap<Entry, Node>,
    files: BTreeMap<File, Facts>,
}

impl Disk {
    pub(crate) fn file_at(&self, entry: Entry) -> Option<File> {
        match self.entries.get(&entry)? {
            Node::File(file) => Some(*file),
            Node::Link => self.file_at(Entry::Other),
        }
    }

    pub(crate) fn facts(&self, file: File) -> &Facts {
        &self.files[&file]
    }

    pub(crate) fn named_files(&self) -> impl Iterator<Item = (Entry, File)> {
        self.entries.keys().filter_map(|&entry| Some((entry, self.file_at(entry)?)))
    }

    /// Records the effect of an open that creates a missing file.
    pub(crate) fn create_if_missing(&mut self, entry: Entry) {
        if self.file_at(entry).is_none() {
            let at = if self.entries.contains_key(&entry) { Entry::Other } else { entry };
            self.put_new_file(at);
        }
    }

    fn put_new_file(&mut self, entry: Entry) {
        let file = self.files.keys().next_back().map_or(0, |newest| newest + 1);
        self.files.insert(file, Facts::default());
        self.entries.insert(entry, Node::File(file));
    }

    /// Returns whether the system allows the change and it has an effect.
    pub(crate) fn allows(&self, change: Change) -> bool {
        let node = |entry| self.entries.get(&entry);
        let lock = node(Entry::Lock);
        match change {
            Change::Unlink(entry) => node(entry).is_some(),
            // `rename` between two names of one file does nothing (POSIX).
            Change::MoveAway => lock.is_some() && lock != node(Entry::Away),
            Change::MoveBack => node(Entry::Away).is_some() && lock != node(Entry::Away),
            Change::Replace | Change::BecomeLink => true,
            Change::HardLink => matches!(lock, Some(Node::File(_))) && lock != node(Entry::Other),
            Change::Chmod(_) => self.file_at(Entry::Lock).is_some(),
            Change::Write(_) => self
                .file_at(Entry::Lock)
                .is_some_and(|file| self.facts(file).mode.is_none_or(|mode| mode & 0o200 != 0)),
        }
    }

    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Unlink(entry) => {
                self.entries.remove(&entry);
            }
            Change::MoveAway => self.rename(Entry::Lock, Entry::Away),
            Change::MoveBack => self.rename(Entry::Away, Entry::Lock),
            Change::Replace => self.put_new_file(Entry::Lock),
            Change::BecomeLink => {
                self.entries.insert(Entry::Lock, Node::Link);
            }
            Change::HardLink => {
                let node = self.entries[&Entry::Lock];
                self.entries.insert(Entry::Other, node);
            }
            Change::Chmod(mode) => self.facts_of_lock(|facts| facts.mode = Some(mode)),
            Change::Write(text) => self.facts_of_lock(|facts| facts.contents = text),
        }
    }

    fn rename(&mut self, from: Entry, to: Entry) {
        if let Some(node) = self.entries.remove(&from) {
            self.entries.insert(to, node);
        }
    }

    fn facts_of_lock(&mut self, change: impl FnMut(&mut Facts)) {
        let facts = self.file_at(Entry::Lock).and_then(|file| self.files.get_mut(&file));
        facts.into_iter().for_each(change);
    }
}
