//! Who may command: tokens from a file, read anew when it changes. Never shows a token.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::fresh::Fresh;
use crate::config::secrets::{SecretError, read_private};

/// Characters of the shortest token that is taken.
const SHORTEST: usize = 16;

/// The tokens. Clones share what was read.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    tokens: Fresh<Vec<Token>>,
}

/// What a token is good for. Whoever may do more may do less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To ask, where questions need a token.
    Viewer,
    /// To run a cluster as it is: nothing that it knows or has is lost by it.
    Operator,
    /// Everything; and to speak as a member.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// As it stands in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Somebody with a token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Whose it is.
    pub name: String,
    /// What it is good for.
    pub role: Role,
}

impl Bearer {
    /// Whether this one may.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, needs: Role) -> Result<(), Denied> {
        if self.role >= needs {
            return Ok(());
        }
        Err(Denied::TooLittle { name: self.name.clone(), has: self.role, needs })
    }
}

#[derive(Clone)]
struct Token {
    text: String,
    name: String,
    role: Role,
    expires: Option<SystemTime>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a token file is not used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read, or others can read it.
    #[error("{0}")]
    File(String),
    /// A line is wrong.
    #[error("{path}:{line}: {says}")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong; never the token.
        says: String,
    },
    /// Only comments.
    #[error("{path} has no token: write one, such as the output of `openssl rand -hex 24`")]
    Empty {
        /// The file.
        path: String,
    },
    /// Nobody could speak as a member.
    #[error(
        "{path} has no token with role=admin: the members know each other by the first such one; add it"
    )]
    NoAdmin {
        /// The file.
        path: String,
    },
}

/// Why somebody may not command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token was sent.
    #[error(
        "this needs a token: send the header 'Authorization: Bearer TOKEN' with one of the API's \
             token file"
    )]
    Missing,
    /// It is none of ours.
    #[error("this token is not in the API's token file: send one that is")]
    Unknown,
    /// It was one of ours.
    #[error(
        "the token of {name} expired at {at}: send one that has not, or add one to the API's \
             token file"
    )]
    Expired {
        /// Whose.
        name: String,
        /// When, as in the file.
        at: String,
    },
    /// It is good for less.
    #[error(
        "this needs a token with the role {}, and that of {name} has the role {}: use another, or give it the role \
             in the API's token file", needs.word(), has.word()
    )]
    TooLittle {
        /// Whose.
        name: String,
        /// Its role.
        has: Role,
        /// What would do.
        needs: Role,
    },
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or a line is wrong.
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let path = path.to_owned();
        let tokens = Fresh::load(vec![path.clone()], || read(&path))?;
        Ok(Self(Arc::new(Inner { path, tokens })))
    }

    /// Who sent this `Authorization` header.
    ///
    /// # Errors
    /// Why that one may not command.
    pub fn check(&self, authorization: Option<&str>) -> Result<Bearer, Denied> {
        let sent = authorization.and_then(bearer).ok_or(Denied::Missing)?;
        let now = SystemTime::now();
        let tokens = self.current();
        let mut found: Option<&Token> = None;
        // Every token is compared, whichever fits: the time taken tells nothing.
        for token in &tokens {
            let fits = same(token.text.as_bytes(), sent.as_bytes());
            found = if fits { Some(token) } else { found };
        }
        let token = found.ok_or(Denied::Unknown)?;
        match token.expires {
            Some(at) if at <= now => Err(Denied::Expired {
                name: token.name.clone(),
                at: humantime::format_rfc3339_seconds(at).to_string(),
            }),
            Some(_) | None => Ok(Bearer { name: token.name.clone(), role: token.role }),
        }
    }

    /// The first admin's that has not expired: what this member sends to its peers.
    #[must_use]
    pub fn own(&self) -> Option<String> {
        let now = SystemTime::now();
        self.current()
            .into_iter()
            .find(|token| token.role == Role::Admin && token.expires.is_none_or(|at| now < at))
            .map(|token| token.text)
    }

    fn current(&self) -> Vec<Token> {
        self.0.tokens.get("tokens", || read(&self.0.path))
    }
}

fn read(path: &Path) -> Result<Vec<Token>, TokensError> {
    let name = || path.display().to_string();
    let text =
        read_private(path).map_err(|error: SecretError| TokensError::File(error.to_string()))?;
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |says| TokensError::Line { path: name(), line: index + 1, says };
        tokens.push(token(line, index + 1).map_err(wrong)?);
    }
    if tokens.is_empty() {
        return Err(TokensError::Empty { path: name() });
    }
    if tokens.iter().all(|token| token.role != Role::Admin) {
        return Err(TokensError::NoAdmin { path: name() });
    }
    Ok(tokens)
}

/// `TOKEN [name=WHO] [role=viewer, operator or admin] [expires=2027-01-01T00:00:00Z]`
fn token(line: &str, number: usize) -> Result<Token, String> {
    let mut words = line.split_whitespace();
    let text = words.next().unwrap_or("").to_owned();
    if text.len() < SHORTEST {
        return Err(format!(
            "the token has {} characters: {SHORTEST} at the least; `openssl rand -hex 24` makes \
                 one",
            text.len()
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "the token has characters that no header can carry: use letters and digits".to_owned()
        );
    }
    // As it was before there were roles.
    let role = Role::Admin;
    let mut token = Token { text, name: format!("token {number}"), role, expires: None };
    for word in words {
        match word.split_once('=') {
            Some(("name", who)) if !who.is_empty() => who.clone_into(&mut token.name),
            Some(("role", said)) => {
                let known = Role::ALL.into_iter().find(|role| role.word() == said);
                token.role = known.ok_or_else(|| {
                    format!(
                        "role={said} is no role: write role=viewer, role=operator or role=admin"
                    )
                })?;
            }
            Some(("expires", when)) => {
                let at = humantime::parse_rfc3339(when).map_err(|_| {
                    format!("expires={when} is no time: write it as expires=2027-01-01T00:00:00Z")
                })?;
                token.expires = Some(at);
            }
            Some(_) | None => {
                return Err("after the token only name=WHO, role=viewer, operator or admin, and \
                     expires=2027-01-01T00:00:00Z may come"
                    .to_owned());
            }
        }
    }
    Ok(token)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether both are the same, in a time that depends on the sent one's length only.
fn same(kept: &[u8], sent: &[u8]) -> bool {
    let mut differs = u8::from(kept.len() != sent.len());
    for (index, byte) in sent.iter().enumerate() {
        differs |= byte ^ kept[index % kept.len()];
    }
    std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn fuzz_lines_of_a_token_file_and_headers() {
        let line = "0123456789abcdef0123 name=alice expires=2027-01-01T00:00:00Z";
        crate::fuzz::text(&[line, "Bearer 0123456789abcdef0123"], |text| {
            if let Ok(token) = token(text, 1) {
                assert!(same(token.text.as_bytes(), token.text.as_bytes()));
                assert!(!same(token.text.as_bytes(), &token.text.as_bytes()[1..]));
                let header = format!("Bearer {}", token.text);
                assert_eq!(bearer(&header), Some(token.text.as_str()));
            }
            assert!(bearer(text).is_none_or(|token| text.contains(token)));
        });
    }

    #[test]
    fn the_right_token_passes_and_others_are_told_why_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        write(
            &path,
            "# operators\nold-old-old-old-old name=bob expires=2020-01-01T00:00:00Z\n\
             0123456789abcdef0123 name=alice expires=2999-01-01T00:00:00Z\nfedcba9876543210fedc\n",
            0o600,
        );
        let tokens = Tokens::load(&path).unwrap();
        let check = |header: &str| tokens.check(Some(header)).map(|bearer| bearer.name);
        assert_eq!(check("Bearer 0123456789abcdef0123"), Ok("alice".to_owned()));
        assert_eq!(check("bearer  fedcba9876543210fedc"), Ok("token 4".to_owned()));
        assert_eq!(tokens.check(None), Err(Denied::Missing));
        assert_eq!(check("Basic 0123456789abcdef0123"), Err(Denied::Missing));
        assert_eq!(check("Bearer "), Err(Denied::Missing));
        assert_eq!(check("Bearer 0123456789abcdef012"), Err(Denied::Unknown));
        assert_eq!(check("Bearer 0123456789abcdef01230123456789abcdef0123"), Err(Denied::Unknown));
        let expired = check("Bearer old-old-old-old-old").unwrap_err();
        assert!(expired.to_string().contains("token of bob expired at 2020-01-01T00:00:00Z"));
        assert!(!expired.to_string().contains("old-old"));
        assert_eq!(tokens.own().as_deref(), Some("0123456789abcdef0123"));
        assert!(!format!("{tokens:?}").contains("0123456789"));
    }

    #[test]
    fn a_changed_file_is_read_and_a_wrong_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        write(&path, "aaaaaaaaaaaaaaaaaaaa name=a\n", 0o600);
        let tokens = Tokens::load(&path).unwrap();
        write(&path, "bbbbbbbbbbbbbbbbbbbbbbbb name=b\n", 0o600);
        assert_eq!(tokens.check(Some("Bearer aaaaaaaaaaaaaaaaaaaa")), Err(Denied::Unknown));
        let name = |token| tokens.check(Some(token)).map(|bearer| bearer.name);
        assert_eq!(name("Bearer bbbbbbbbbbbbbbbbbbbbbbbb"), Ok("b".to_owned()));
        write(&path, "short\n", 0o600);
        assert_eq!(name("Bearer bbbbbbbbbbbbbbbbbbbbbbbb"), Ok("b".to_owned()));
    }

    #[test]
    fn whoever_may_do_less_does_not_speak_for_the_member() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        write(
            &path,
            "vvvvvvvvvvvvvvvvvvvv name=eve role=viewer\noooooooooooooooooooo role=operator\n\
             aaaaaaaaaaaaaaaaaaaa name=members\n",
            0o600,
        );
        let tokens = Tokens::load(&path).unwrap();
        assert_eq!(tokens.own().as_deref(), Some("aaaaaaaaaaaaaaaaaaaa"));
        let role = |token| tokens.check(Some(token)).unwrap().role;
        assert_eq!(role("Bearer aaaaaaaaaaaaaaaaaaaa"), Role::Admin, "where none is said");
        assert_eq!(role("Bearer oooooooooooooooooooo"), Role::Operator);
        let eve = tokens.check(Some("Bearer vvvvvvvvvvvvvvvvvvvv")).unwrap();
        assert_eq!(eve.may(Role::Viewer), Ok(()));
        assert_eq!(
            eve.may(Role::Admin).unwrap_err().to_string(),
            "this needs a token with the role admin, and that of eve has the role viewer: use another, or give it \
             the role in the API's token file"
        );
        write(&path, "oooooooooooooooooooo role=operator\n", 0o600);
        let said = Tokens::load(&path).unwrap_err().to_string();
        assert!(said.contains("has no token with role=admin: the members know"), "{said}");
    }

    #[test]
    fn wrong_files_are_refused_with_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let said = |text: &str, mode: u32| {
            write(&path, text, mode);
            let said = Tokens::load(&path).unwrap_err().to_string();
            said.replace(&path.display().to_string(), "tokens")
        };
        assert_eq!(
            said("# x\n\nshort\n", 0o600),
            "tokens:3: the token has 5 characters: 16 at the least; `openssl rand -hex 24` makes \
                 one"
        );
        assert_eq!(
            said("aaaaaaaaaaaaaaaaaaaa expires=tomorrow\n", 0o600),
            "tokens:1: expires=tomorrow is no time: write it as expires=2027-01-01T00:00:00Z"
        );
        assert_eq!(
            said("aaaaaaaaaaaaaaaaaaaa role=root\n", 0o600),
            "tokens:1: role=root is no role: write role=viewer, role=operator or role=admin"
        );
        assert_eq!(
            said("aaaaaaaaaaaaaaaaaaaa\n", 0o644),
            "tokens can be read by others (mode 0644): run chmod 0600 tokens"
        );
        assert_eq!(
            said("# none\n", 0o600),
            "tokens has no token: write one, such as the output of `openssl rand -hex 24`"
        );
    }
}
