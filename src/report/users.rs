//! User names.

use std::fs;

/// Returns the name of a user, or the number if `/etc/passwd` has none. (The C library could ask the
/// network, and `getpwuid` is not safe to call from every thread: getpwnam(3).)
pub(crate) fn name(id: u32) -> String {
    let users = fs::read("/etc/passwd").unwrap_or_default();
    find(&String::from_utf8_lossy(&users), id).map_or_else(|| id.to_string(), Into::into)
}

/// Finds the name in lines of the form `name:password:number:...`.
fn find(users: &str, id: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        (words.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number() {
        let users = "# 7:x:7\nroot:x:0:0::/root:/bin/sh\n+::::::\nten:*:10:1\nodd\none:x:1:10::\n";
        assert_eq!(find(users, 0), Some("root"));
        assert_eq!(find(users, 1), Some("one"));
        assert_eq!(find(users, 10), Some("ten"));
        assert_eq!(find(users, 7), None);
        assert_eq!(find("", 0), None);
    }
}
