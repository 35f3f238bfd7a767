//! The first answers of a server, as far as they are in clear: its first word, and the key of the session.
//! Changes nothing on its way.

use super::packet::Key;

/// What comes before the key is short; whoever says more is left alone.
const LONGEST: usize = 64 * 1024;
/// SQLSTATE `cannot_connect_now`: it starts, it stops, or it is not consistent yet.
const NOT_NOW: &[u8] = b"C57P03\0";

/// The first word of a server to a startup packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Not complete yet.
    Part,
    /// It takes no session at the moment: another server, or a later time.
    NotNow,
    /// Anything else: for the client.
    Speaks,
}

/// What these first bytes say.
pub(super) fn word(bytes: &[u8]) -> Word {
    match (bytes.first(), message(bytes)) {
        (None, _) => Word::Part,
        (Some(b'E'), Some((_, body, _))) if says(body, NOT_NOW) => Word::NotNow,
        (Some(b'E'), None) if bytes.len() < LONGEST && plausible(bytes) => Word::Part,
        (Some(_), _) => Word::Speaks,
    }
}

/// A field of an error begins at the body's start or after a zero.
fn says(body: &[u8], field: &[u8]) -> bool {
    body.starts_with(field)
        || body.windows(field.len() + 1).any(|part| part[0] == 0 && part[1..] == *field)
}

fn plausible(bytes: &[u8]) -> bool {
    let Some(length) = bytes.get(1..5).and_then(|length| length.try_into().ok()) else {
        return true;
    };
    u32::from_be_bytes(length) < 32 * 1024
}

/// Kind, body and what follows of the first message, if it is complete.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let length: [u8; 4] = rest.get(..4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let body = rest.get(4..length)?;
    Some((*kind, body, &rest[length..]))
}

/// Looks for the key in what a server says, in pieces as they come.
#[derive(Debug, Default)]
pub(super) struct Search {
    kept: Vec<u8>,
    over: bool,
}

impl Search {
    /// Whether there is nothing more to look for.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// The next piece; the key, once, when it is complete.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<Key> {
        if self.over {
            return None;
        }
        self.kept.extend_from_slice(bytes);
        let mut rest = self.kept.as_slice();
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                b'K' => return self.end(Key::new(body)),
                // The session is ready, or refused: no key comes any more.
                b'Z' | b'E' => return self.end(None),
                _ => rest = after,
            }
        }
        let left = rest.len();
        self.kept.drain(..self.kept.len() - left);
        if left > LONGEST { self.end(None) } else { None }
    }

    fn end(&mut self, key: Option<Key>) -> Option<Key> {
        self.over = true;
        self.kept = Vec::new();
        key
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::fatal;
    use super::*;

    fn said(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + body.len()).unwrap();
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    #[test]
    fn the_key_is_found_however_the_bytes_are_cut() {
        let all = [
            said(b'R', &[0, 0, 0, 0]),
            said(b'S', b"server_version\x0015\0"),
            said(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]),
            said(b'Z', b"I"),
        ]
        .concat();
        for size in [1, 2, 3, 7, all.len()] {
            let mut search = Search::default();
            let keys: Vec<Key> = all.chunks(size).filter_map(|part| search.next(part)).collect();
            assert_eq!(keys, [Key::new(&[0, 0, 1, 2, 9, 9, 9, 9]).unwrap()], "pieces of {size}");
            assert!(search.is_over());
        }
    }

    #[test]
    fn fuzz_answers_of_a_server() {
        let session =
            [said(b'R', &[0, 0, 0, 0]), said(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]), said(b'Z', b"I")];
        let examples = [session.concat(), fatal("57P03", "it starts"), fatal("28P01", "no")];
        crate::fuzz::bytes(&examples.each_ref().map(Vec::as_slice), |bytes| {
            let whole = Search::default().next(bytes);
            let mut search = Search::default();
            let keys: Vec<Key> = bytes.chunks(3).filter_map(|part| search.next(part)).collect();
            assert_eq!(keys, Vec::from_iter(whole), "in pieces as in one");
            // More bytes never take back what was certain.
            let words: Vec<Word> = (0..=bytes.len()).map(|end| word(&bytes[..end])).collect();
            let certain = words.iter().position(|word| *word != Word::Part);
            let certain = certain.map_or(&[][..], |at| &words[at..]);
            assert!(certain.iter().all(|word| *word == certain[0]), "{words:?}");
        });
    }

    #[test]
    fn nobody_searches_for_ever() {
        let mut search = Search::default();
        assert_eq!(search.next(&fatal("28P01", "no")), None);
        assert!(search.is_over());
        let mut search = Search::default();
        assert_eq!(search.next(&[b'S', 0x7f, 0xff, 0xff, 0xff]), None);
        assert!(!search.is_over());
        assert_eq!(search.next(&vec![0; LONGEST + 1]), None);
        assert!(search.is_over());
        let mut search = Search::default();
        search.next(&[b'S', 0, 0, 0, 0, b'S', 0, 0, 0, 3]);
    }

    #[test]
    fn the_first_word_is_told() {
        let not_now = fatal("57P03", "the database system is starting up");
        assert_eq!(word(b""), Word::Part);
        assert_eq!(word(&not_now[..3]), Word::Part);
        assert_eq!(word(&not_now[..20]), Word::Part);
        assert_eq!(word(&not_now), Word::NotNow);
        assert_eq!(word(&fatal("28P01", "C57P03")), Word::Speaks);
        assert_eq!(word(b"E\xff\xff\xff\xff"), Word::Speaks);
        assert_eq!(word(b"R"), Word::Speaks);
        assert_eq!(word(b"S"), Word::Speaks);
    }
}
