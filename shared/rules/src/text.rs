//! Bytes to text and back: charset and padding.

use fieldgate_model::Cause;

use crate::signal::{Charset, Padding};

/// The text in these registers, high byte first.
pub(crate) fn text_of_words(
    charset: Charset,
    padding: Padding,
    words: &[u16],
) -> Result<String, Cause> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    match padding {
        Padding::Nul | Padding::Both => {
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        }
        Padding::Space if bytes.contains(&0) => return Err(Cause::Malformed),
        Padding::Space => {}
    }
    let text = match charset {
        Charset::Ascii if !bytes.is_ascii() => return Err(Cause::Malformed),
        Charset::Ascii | Charset::Utf8 => String::from_utf8(bytes).map_err(|_| Cause::Malformed)?,
        Charset::Latin1 => bytes.into_iter().map(char::from).collect(),
    };
    Ok(match padding {
        Padding::Nul => text,
        Padding::Space | Padding::Both => text.trim_end_matches(' ').to_owned(),
    })
}

/// The registers that hold a text; `None` if it is too long, has a NUL in it or a character that
/// the charset does not have.
pub(crate) fn words_of_text(
    text: &str,
    registers: u16,
    charset: Charset,
    padding: Padding,
) -> Option<Vec<u16>> {
    let length = 2 * usize::from(registers);
    let mut bytes = match charset {
        Charset::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec())?,
        Charset::Utf8 => text.as_bytes().to_vec(),
        Charset::Latin1 => {
            text.chars().map(|letter| u8::try_from(letter).ok()).collect::<Option<Vec<u8>>>()?
        }
    };
    if bytes.len() > length || bytes.contains(&0) {
        return None;
    }
    let fill = match padding {
        Padding::Nul | Padding::Both => 0,
        Padding::Space => b' ',
    };
    bytes.resize(length, fill);
    Some(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
}
