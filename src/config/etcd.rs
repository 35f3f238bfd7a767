//! `[etcd]`: endpoints, user, certificates. Reads files; never connects.

use super::check::Checker;
use super::error::At;
use super::file::{EtcdFile, Said, Text};
use super::{Etcd, Login};

impl Checker<'_> {
    /// `[etcd]`
    pub(super) fn etcd(&mut self, section: &Said<EtcdFile>) -> Option<Etcd> {
        let (at, file) = (self.source.of(section), section.value());
        let said = self.need("etcd.endpoints", file.endpoints.as_ref(), at);
        let endpoints = said.and_then(|said| self.endpoints(&said));
        let login = self.etcd_login(file, at);
        let ca = file.ca_file.as_ref().map(|said| self.pem("etcd.ca_file", said));
        let identity = self.identity(file);
        let endpoints = endpoints?;
        if let Some(said) = file.ca_file.as_ref().or(file.cert_file.as_ref())
            && endpoints.iter().any(|url| url.starts_with("http://"))
        {
            let says = "etcd: certificates are given, but the endpoints begin with http://: \
                 write https:// there"
                .to_owned();
            return self.refuse_said(said, says);
        }
        if let Some(said) = &file.endpoints
            && file.ca_file.is_none()
            && endpoints.iter().any(|url| url.starts_with("https://"))
        {
            let says =
                "etcd.ca_file is missing: for https:// write the file with the certificate of \
                 the authority that etcd's servers have theirs from, such as /etc/haa/etcd-ca.pem"
                    .to_owned();
            return self.refuse_said(said, says);
        }
        Some(Etcd {
            endpoints,
            login: login?,
            ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
            identity: identity?,
        })
    }

    fn endpoints(&mut self, said: &Said<Vec<Text>>) -> Option<Vec<String>> {
        if said.value().is_empty() {
            let says = "etcd.endpoints is empty: write one URL for each etcd member, such as \
                 http://10.0.0.1:2379"
                .to_owned();
            return self.refuse_said(said, says);
        }
        let before = self.problems.len();
        let mut taken: Vec<String> = Vec::new();
        for text in said.value() {
            let url = text.value().trim_end_matches('/').to_owned();
            if !is_endpoint(&url) {
                let says = format!(
                    "etcd.endpoints: '{}' is no endpoint: write it as http://10.0.0.1:2379 or \
                         https://etcd-1:2379",
                    text.value()
                );
                self.refuse_said::<(), _>(text, says);
            } else if taken.contains(&url) {
                let says =
                    format!("etcd.endpoints: {url} is there twice: write each etcd member once");
                self.refuse_said::<(), _>(text, says);
            } else {
                taken.push(url);
            }
        }
        let https = taken.iter().filter(|url| url.starts_with("https://")).count();
        if https != 0 && https != taken.len() {
            let says =
                "etcd.endpoints: some are http:// and some https://: use one of them for all"
                    .to_owned();
            return self.refuse_said(said, says);
        }
        (self.problems.len() == before).then_some(taken)
    }

    /// `Some(None)`: no login is wanted.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    fn etcd_login(&mut self, file: &EtcdFile, at: At) -> Option<Option<Login>> {
        match (&file.user, &file.password_file) {
            (None, None) => Some(None),
            (None, Some(said)) => self.refuse_said(
                said,
                "etcd.password_file is given, but no etcd.user: add user = \"...\"".to_owned(),
            ),
            (Some(user), password) => {
                let password = self.password("etcd", password.as_ref(), at)?;
                if user.value().is_empty() {
                    return self.refuse_said(user, "etcd.user is empty: write a name".to_owned());
                }
                Some(Some(Login { user: user.value().clone(), password }))
            }
        }
    }

    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    fn identity(&mut self, file: &EtcdFile) -> Option<Option<(Vec<u8>, Vec<u8>)>> {
        match (&file.cert_file, &file.key_file) {
            (None, None) => Some(None),
            (Some(cert), Some(key)) => {
                let cert = self.pem("etcd.cert_file", cert);
                let key = self.pem("etcd.key_file", key);
                Some(Some((cert?, key?)))
            }
            (Some(alone), None) => self.refuse_said(
                alone,
                "etcd.cert_file is given, but no etcd.key_file: add the certificate's key"
                    .to_owned(),
            ),
            (None, Some(alone)) => self.refuse_said(
                alone,
                "etcd.key_file is given, but no etcd.cert_file: add the key's certificate"
                    .to_owned(),
            ),
        }
    }

    fn pem(&mut self, key: &str, said: &Text) -> Option<Vec<u8>> {
        let path = self.file(key, said)?;
        match std::fs::read(&path) {
            Ok(bytes) if bytes.windows(11).any(|part| part == b"-----BEGIN ") => Some(bytes),
            Ok(_) => {
                let says = format!("{key}: {} is not PEM: convert it with openssl", path.display());
                self.refuse_said(said, says)
            }
            Err(error) => {
                let says = format!("{key}: {} cannot be read ({error})", path.display());
                self.refuse_said(said, says)
            }
        }
    }
}

/// Scheme, host and port, nothing else.
fn is_endpoint(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        let address = rest.parse::<haa_core::units::Address>();
        !rest.contains(['@', '?', '#', ' ']) && address.is_ok_and(|address| address.port != 0)
    })
}
