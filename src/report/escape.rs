//! Escapes for text that is printed and that other programs and users have chosen: names of files, programs and users. The
//! command mounts this file too, so that it and the library escape the same characters.

/// Returns the text with escapes, as in a Rust string (`\u{1b}`), for characters that would change the text around them.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_shown(c) {
            escaped.push(c);
        } else {
            escaped.extend(c.escape_default());
        }
    }
    escaped
}

/// Returns whether the character is shown as itself, and leaves the text around it as it is. A control character may move
/// the cursor, or change the state of a terminal. A bidirectional control shows the text around it in another order
/// (Unicode UAX #9, CVE-2021-42574), a separator ends the line, and a character without a width makes two names look the same.
pub(crate) fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            // Marks and controls of direction: ALM, LRM, RLM, embeddings, overrides, isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Separators of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Without a width: spaces, joiners, invisible operators, the byte order mark, annotations, tags.
            | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_stays_as_it_is() {
        assert_eq!(
            escape("a b\u{e4} \u{65e5}\u{672c} \u{5d0}"),
            "a b\u{e4} \u{65e5}\u{672c} \u{5d0}"
        );
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(escape("a\r\n\tb"), r"a\r\n\tb");
        assert_eq!(escape("\x1b[2J\x7f\u{9b}"), r"\u{1b}[2J\u{7f}\u{9b}");
    }

    #[test]
    fn nothing_changes_the_order_or_the_look_of_the_text_around_it() {
        let ranges = [
            0x61c..=0x61c,
            0x180e..=0x180e,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0xfeff..=0xfeff,
            0xfff9..=0xfffb,
            0xe0000..=0xe007f,
        ];
        for number in ranges.into_iter().flatten() {
            let c = char::from_u32(number).unwrap_or_default();
            assert_eq!(escape(&format!("a{c}b")), format!("a\\u{{{number:x}}}b"));
        }
    }
}
