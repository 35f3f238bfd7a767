//! `haactl routes`: where to write and where to read. Prints what an agent says; opens no connection to Postgres.

use clap::{Args, ValueEnum};

use super::documents::{RouteView, RoutesView};
use super::error::CtlError;
use super::list::readable;
use super::print::{Output, document, say, table};
use super::target::Target;

/// Show where to write and where to read
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl routes
  psql \"$(haactl routes primary --format dsn) dbname=shop user=app\"
  haactl routes read --format hostport

Exit codes: 0 shown, 1 there is no such server at the moment, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct RoutesArgs {
    /// Only these [default: all]
    #[arg(value_enum)]
    which: Option<Which>,
    /// In which form [default: a table, for one kind hostport]
    #[arg(short, long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Where to write
    Primary,
    /// Where to read: the replicas
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// `10.0.0.1:5432`, one a line
    Hostport,
    /// `host=10.0.0.1 port=5432`, for libpq
    Dsn,
    /// `postgresql://10.0.0.1:5432/`, for libpq and most drivers
    Uri,
    /// A JSON document
    Json,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers, or there is no such server.
pub(super) async fn run(args: &RoutesArgs, target: &Target) -> Result<(), CtlError> {
    let routes: RoutesView = target.document("/routes").await?;
    let chosen = match args.which {
        None => return all(args.format, &routes),
        Some(Which::Primary) => {
            let none = "nobody accepts writes at the moment; look with `haactl list`";
            vec![routes.primary.ok_or(CtlError::NoRoute(none))?]
        }
        Some(Which::Read) if routes.replicas.is_empty() => {
            return Err(CtlError::NoRoute("no replica can be read from; look with `haactl list`"));
        }
        Some(Which::Read) => routes.replicas,
    };
    match args.format.unwrap_or(Format::Hostport) {
        Format::Json => json(&chosen),
        lines => chosen.iter().try_for_each(|route| say(text(lines, route))),
    }
}

fn all(format: Option<Format>, routes: &RoutesView) -> Result<(), CtlError> {
    let kinds = routes.primary.iter().map(|route| ("write", route));
    let kinds = kinds.chain(routes.replicas.iter().map(|route| ("read", route)));
    match format {
        Some(Format::Json) => json(routes),
        Some(lines) => kinds
            .into_iter()
            .try_for_each(|(kind, route)| say(format_args!("{kind} {}", text(lines, route)))),
        None => {
            let mut rows = table(&["for", "member", "address", "lag"]);
            for (kind, route) in kinds {
                let lag = route.lag_bytes.map_or("-".to_owned(), readable);
                rows.add_row([kind.to_owned(), route.member.clone(), hostport(route), lag]);
            }
            say(rows.trim_fmt())
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<(), CtlError> {
    say(document(Output::Json, value)?.unwrap_or_default())
}

fn text(format: Format, route: &RouteView) -> String {
    match format {
        Format::Hostport | Format::Json => hostport(route),
        Format::Dsn => format!("host={} port={}", route.host, route.port),
        Format::Uri => format!("postgresql://{}/", hostport(route)),
    }
}

fn hostport(route: &RouteView) -> String {
    haa_core::units::Address { host: route.host.clone(), port: route.port }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_gets_its_brackets_where_they_belong() {
        let route = RouteView { host: "fd00::1".to_owned(), port: 5432, ..RouteView::default() };
        assert_eq!(text(Format::Hostport, &route), "[fd00::1]:5432");
        assert_eq!(text(Format::Dsn, &route), "host=fd00::1 port=5432");
        assert_eq!(text(Format::Uri, &route), "postgresql://[fd00::1]:5432/");
    }
}
