//! `[api]`: where it listens, the tokens, TLS. Reads files; never listens.

use super::check::Checker;
use super::file::{ApiFile, Said, Text};
use super::{Api, Questions};
use crate::tls::{Dialer, Door, Identity, Plain, Tls, Verify};

impl Checker<'_> {
    /// `[api]`
    pub(super) fn api(&mut self, section: &Said<ApiFile>) -> Option<Api> {
        let (at, api) = (self.source.of(section), section.value());
        let said = self.need("api.listen", api.listen.as_ref(), at);
        let listen = said.as_ref().and_then(|said| {
            let address = self.address("api.listen", said)?;
            if address.host == "*" {
                let says = "api.listen: '*' is not an address: write 0.0.0.0 or [::]".to_owned();
                return self.refuse_said(said, says);
            }
            Some(address)
        });
        let place = said.as_ref().map(|said| self.source.of(said));
        let address = self.reached_at("api", api.address.as_ref(), listen.as_ref().zip(place));
        let token_file = self.need("api.token_file", api.token_file.as_ref(), at);
        let token_file = token_file.and_then(|said| {
            let path = self.file("api.token_file", &said)?;
            match crate::api::tokens::Tokens::load(&path) {
                Ok(_) => Some(path),
                Err(error) => self.refuse_said(&said, format!("api.token_file: {error}")),
            }
        });
        let tls = self.tls(api);
        let words = [("open", Questions::Open), ("token", Questions::Token)];
        let questions = self.one_of("api.questions", api.questions.as_ref(), &words);
        Some(Api {
            listen: listen?,
            address: address?,
            token_file: token_file?,
            questions: questions?,
            tls: tls?,
        })
    }

    /// `Some(None)`: no TLS is wanted.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    fn tls(&mut self, api: &ApiFile) -> Option<Option<Tls>> {
        let said =
            [("cert_file", &api.cert_file), ("key_file", &api.key_file), ("ca_file", &api.ca_file)];
        let more = [("verify_client", &api.verify_client), ("plain", &api.plain)];
        let all = said.iter().chain(&more);
        let Some((given, first)) = all.clone().find_map(|(key, said)| Some((key, said.as_ref()?)))
        else {
            return Some(None);
        };
        if let Some((absent, _)) = said.iter().find(|(_, said)| said.is_none()) {
            let says = format!(
                "api.{given} is given, but no api.{absent}: TLS wants cert_file, key_file and ca_file"
            );
            return self.refuse_said(first, says);
        }
        let [certificate, key, authority] = said.map(|(key, said)| {
            said.as_ref().and_then(|said| self.file(&format!("api.{key}"), said))
        });
        let verify = [
            ("none", Verify::None),
            ("optional", Verify::Optional),
            ("required", Verify::Required),
        ];
        let plain = [("refused", Plain::Refused), ("answered", Plain::Answered)];
        let verify = self.one_of("api.verify_client", api.verify_client.as_ref(), &verify);
        let plain = self.one_of("api.plain", api.plain.as_ref(), &plain);
        let identity = Identity { certificate: certificate?, key: key? };
        let tls = Tls { identity, authority: authority?, verify: verify?, plain: plain? };
        match Door::load(&tls).and_then(|_| Dialer::of_member(&tls)) {
            Ok(_) => Some(Some(tls)),
            Err(error) => self.refuse_said(first, format!("api: {error}")),
        }
    }

    /// One of these words; the default if none is said.
    fn one_of<T: Copy + Default>(
        &mut self,
        key: &str,
        said: Option<&Text>,
        words: &[(&str, T)],
    ) -> Option<T> {
        let Some(said) = said else { return Some(T::default()) };
        match words.iter().find(|(word, _)| word == said.value()) {
            Some((_, meant)) => Some(*meant),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let says = format!("{key}: '{}' is none of {}", said.value(), known.join(", "));
                self.refuse_said(said, says)
            }
        }
    }
}
