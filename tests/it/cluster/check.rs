//! What `haad check` says before a start, and before a restart. It changes nothing.

use std::os::unix::fs::PermissionsExt;

use super::fixture::{Cluster, haad, name};

/// As operations.md has it: check before each restart. The ports that its own haad has are no obstacle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_beside_the_running_haad_finds_nothing_wrong() {
    let mut cluster = Cluster::prepare(|options| options.routers());
    let member = name("n1");
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&member).expect("it starts");
    cluster.primary().await;
    let (code, said) = haad("check", &cluster.playground.config(&member));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("haad runs here already"), "{said}");
    for port in ["api.listen", "router.read_write", "router.read_only"] {
        let own = |line: &str| line.contains(port) && line.contains("own haad");
        assert!(said.lines().any(own), "{port}: {said}");
    }
    // What somebody else has is one all the same.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = other.local_addr().map(|at| (other, at.to_string())).expect("bound");
    let api = cluster.playground.api(&member).to_string();
    cluster.edit(&member, |text| text.replace(&api, &other.1));
    let (code, said) = haad("check", &cluster.playground.config(&member));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("{} is in use: stop what listens there", other.1)), "{said}");
}

/// Data that are there are not needed for it: a new member would run initdb, and then not start.
#[test]
fn a_parameter_that_postgres_does_not_take_is_told() {
    let cluster = Cluster::prepare(|options| options);
    let member = name("n1");
    cluster.edit(&member, |text| {
        text.replace(
            "[postgres.parameters]",
            "[postgres.parameters]\nmax_conections = 200\nwal_buffers = \"lots\"",
        )
    });
    cluster.edit(&member, |text| format!("{text}\n[tags]\nnofailovr = true\n"));
    let (code, said) = haad("check", &cluster.playground.config(&member));
    assert_eq!(code, 1, "{said}");
    for wrong in [
        "tags.nofailovr: a tag of your own; did you mean nofailover?",
        "postgres.parameters.max_conections: unrecognized configuration parameter",
        "postgres.parameters.wal_buffers: invalid value for parameter",
    ] {
        assert!(said.contains(wrong), "{said}");
    }
}

#[test]
fn a_password_file_that_others_may_read_or_that_is_not_there_is_told() {
    let cluster = Cluster::prepare(|options| options);
    let member = name("n1");
    let config = cluster.playground.config(&member);
    let told = |wanted: &str| {
        for (verb, code) in [("check", 1), ("run", 2)] {
            let (ended, said) = haad(verb, &config);
            assert_eq!(ended, code, "{verb}: {said}");
            assert!(said.contains("haad.toml:") && said.contains(wanted), "{verb}: {said}");
        }
    };
    let right = cluster.password_file(&member, "superuser").display().to_string();
    let open = cluster.playground.config(&member).with_file_name("open");
    std::fs::write(&open, "secret\n").expect("a file");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&open, mode).expect("it is ours");
    let open = open.display().to_string();
    cluster.edit(&member, |text| text.replace(&right, &open));
    told(&format!(
        "postgres.superuser.password_file: {open} can be read by others (mode 0644): run chmod 0600 {open}"
    ));
    std::fs::remove_file(&open).expect("it is there");
    told(&format!("postgres.superuser.password_file: {open} cannot be read"));
}
