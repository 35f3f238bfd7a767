//! What every area needs before it starts anything. Never a cluster of its own.

use std::sync::Once;

/// Postgres refuses to run as root: as root, turns this whole process into user `postgres`, once.
/// Every test calls it first, so that temporary directories belong to one user throughout.
pub(crate) fn become_postgres() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let user = nix::unistd::User::from_name("postgres")
            .expect("the user database can be read")
            .expect("user postgres exists: install the Debian package postgresql");
        nix::unistd::setgroups(&[user.gid]).expect("root may set its groups");
        nix::unistd::setresgid(user.gid, user.gid, user.gid).expect("root may set its group");
        nix::unistd::setresuid(user.uid, user.uid, user.uid).expect("root may set its user");
    });
}
