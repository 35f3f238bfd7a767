//! What every parser is tried with: its examples, what grows out of them by small edits, and noise. In the gate the
//! same inputs each time; `make fuzz SECONDS=60` goes on with others. Never knows what is parsed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// For so many seconds new inputs are made; without it the gate's.
const SECONDS: &str = "HAA_FUZZ_SECONDS";
/// Between two looks at the clock, and all that the gate tries.
const ROUND: u32 = 500;

/// What has broken parsers before.
const WORDS: [&[u8]; 34] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x80",
    b"\xc3",
    b"'",
    b"\"",
    b"\\",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"/",
    b":",
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b",",
    b"=",
    b"#",
    b"&",
    b"%",
    b"%00",
    b"%ff",
    b"..",
    b"-",
    b"+",
    b"null",
    b"true",
    "ß".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{1f980}".as_bytes(),
];

/// Around the ends of what a number can be.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "+1",
    "1.5",
    "1e308",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
];

/// A change to an example.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Put(Index, Vec<u8>),
    Cut(Index, usize),
    End(Index),
    Twice(Index, usize),
    /// The number that begins at or after this place becomes another.
    Number(Index, &'static str),
    /// A piece of another example goes here.
    Splice(Index, Vec<u8>),
}

/// Tries a parser of bytes. It fails by a panic.
pub(crate) fn bytes(examples: &[&[u8]], target: impl Fn(&[u8])) {
    examples.iter().for_each(|example| target(example));
    let inputs = grown(examples.iter().map(|example| example.to_vec()).collect());
    let seconds = std::env::var(SECONDS).ok();
    let seconds =
        seconds.map(|said| said.parse().expect("HAA_FUZZ_SECONDS is a number of seconds"));
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let (mut seed, mut tried) = (if until.is_some() { now << 20 } else { 1 }, 0_u64);
    loop {
        round(seed, &inputs, &target);
        (seed, tried) = (seed + 1, tried + u64::from(ROUND));
        if until.is_none_or(|until| Instant::now() >= until) {
            return println!("{tried} inputs");
        }
    }
}

/// Noise, the same for the same seed, so many bytes at a time.
pub(crate) fn random(seed: u64) -> impl FnMut(usize) -> Vec<u8> {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    let mut source = StdRng::seed_from_u64(seed);
    move |length| (0..length).map(|_| source.random()).collect()
}

/// Tries a parser of text.
pub(crate) fn text(examples: &[&str], target: impl Fn(&str)) {
    let examples: Vec<&[u8]> = examples.iter().map(|text| text.as_bytes()).collect();
    bytes(&examples, |bytes| target(&String::from_utf8_lossy(bytes)));
}

fn round(seed: u64, inputs: &impl Strategy<Value = Vec<u8>>, target: &impl Fn(&[u8])) {
    let config = Config {
        cases: ROUND,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(inputs, |input| {
        target(&input);
        Ok(())
    });
    match tried {
        Ok(()) => {}
        Err(TestError::Abort(why)) => panic!("no inputs could be made: {why}"),
        Err(TestError::Fail(why, input)) => {
            panic!("{why}\nMend it, and put this among the examples: b\"{}\"", input.escape_ascii())
        }
    }
}

fn grown(examples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec(edit(examples.clone()), 1..8);
    let edited = (select(examples), edits).prop_map(|(example, edits)| {
        edits.into_iter().fold(example, |bytes, edit| edit.applied(bytes))
    });
    let noise = vec(any::<u8>(), 0..200);
    let words = ".{0,60}".prop_map(String::into_bytes);
    prop_oneof![8 => edited, 1 => noise, 1 => words]
}

fn edit(examples: Vec<Vec<u8>>) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let piece = (select(examples), at(), 1..40_usize).prop_map(|(example, from, length)| {
        let from = from.index(example.len() + 1);
        example[from..(from + length).min(example.len())].to_vec()
    });
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), select(WORDS.to_vec())).prop_map(|(at, word)| Edit::Put(at, word.to_vec())),
        (at(), vec(any::<u8>(), 1..8)).prop_map(|(at, noise)| Edit::Put(at, noise)),
        (at(), 1..20_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        at().prop_map(Edit::End),
        (at(), 1..40_usize).prop_map(|(at, length)| Edit::Twice(at, length)),
        (at(), select(NUMBERS.to_vec())).prop_map(|(at, number)| Edit::Number(at, number)),
        (at(), piece).prop_map(|(at, piece)| Edit::Splice(at, piece)),
    ]
}

impl Edit {
    fn applied(self, mut bytes: Vec<u8>) -> Vec<u8> {
        let place = |at: Index| at.index(bytes.len() + 1);
        let piece = |at: usize, length: usize| at..(at + length).min(bytes.len());
        match self {
            Self::Set(at, byte) => {
                let at = place(at);
                bytes.splice(piece(at, 1), [byte]);
            }
            Self::Put(at, more) | Self::Splice(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more);
            }
            Self::Cut(at, length) => drop(bytes.drain(piece(place(at), length))),
            Self::End(at) => bytes.truncate(place(at)),
            Self::Twice(at, length) => {
                let again = bytes[piece(place(at), length)].to_vec();
                let at = place(at);
                bytes.splice(at..at, again);
            }
            Self::Number(at, number) => {
                let at = place(at);
                let digit = |byte: &u8| byte.is_ascii_digit();
                let Some(from) = bytes[at..].iter().position(digit) else { return bytes };
                let digits = bytes[at + from..].iter().take_while(|byte| digit(byte)).count();
                bytes.splice(at + from..at + from + digits, number.bytes());
            }
        }
        bytes
    }
}
