//! What a word is.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Letter,
    Mark,
    Number,
    Apostrophe,
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Number,
        '\'' | '\u{2019}' => Class::Apostrophe,
        c if c.is_ascii() => Class::Other,
        c => match c.general_category_group() {
            GeneralCategoryGroup::Letter => Class::Letter,
            GeneralCategoryGroup::Mark => Class::Mark,
            GeneralCategoryGroup::Number => Class::Number,
            _ => Class::Other,
        },
    }
}

/// The words of a text: maximal runs of letters, marks and numbers, apostrophes between letters
/// included. A mark belongs to the letter before it.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = next_word(rest)?;
        rest = after;
        Some(word)
    })
}

fn next_word(text: &str) -> Option<(&str, &str)> {
    let starts = |c: char| matches!(class(c), Class::Letter | Class::Mark | Class::Number);
    let text = &text[text.find(starts)?..];
    let mut after_letter = false;
    for (i, c) in text.char_indices() {
        match class(c) {
            Class::Letter => after_letter = true,
            Class::Number => after_letter = false,
            Class::Mark => {}
            Class::Apostrophe => {
                let before_letter = text[i + c.len_utf8()..]
                    .chars()
                    .next()
                    .is_some_and(|next| class(next) == Class::Letter);
                if !(after_letter && before_letter) {
                    return Some(text.split_at(i));
                }
            }
            Class::Other => return Some(text.split_at(i)),
        }
    }
    Some((text, ""))
}

#[cfg(test)]
mod tests {
    fn words(text: &str) -> Vec<&str> {
        super::words(text).collect()
    }

    #[test]
    fn words_are_letters_marks_and_numbers() {
        assert_eq!(words("Hello, world! 42nd_x"), ["Hello", "world", "42nd", "x"]);
        assert_eq!(words(""), Vec::<&str>::new());
        assert_eq!(words(" -- ' '' \u{2019}"), Vec::<&str>::new());
        assert_eq!(
            words("na\u{ef}ve \u{397}\u{39c}\u{395}\u{3a1}\u{391} \u{4f60}\u{597d}"),
            ["na\u{ef}ve", "\u{397}\u{39c}\u{395}\u{3a1}\u{391}", "\u{4f60}\u{597d}"]
        );
        // A decomposed accent is a mark; Roman numeral two and a superscript are numbers.
        assert_eq!(
            words("e\u{301}te\u{301} \u{2161} x\u{b2}"),
            ["e\u{301}te\u{301}", "\u{2161}", "x\u{b2}"]
        );
    }

    #[test]
    fn apostrophes_between_letters_are_kept() {
        assert_eq!(words("don't 'quoted' rock'n'roll"), ["don't", "quoted", "rock'n'roll"]);
        assert_eq!(
            words("l\u{2019}e\u{301}te\u{301}'s dogs' 5'6 a''b"),
            ["l\u{2019}e\u{301}te\u{301}'s", "dogs", "5", "6", "a", "b"]
        );
    }
}
