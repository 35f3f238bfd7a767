//! What every area needs before it starts anything. Never a cluster of its own.

pub(crate) mod exposition;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Postgres refuses to run as root: as root, turns this whole process into user `postgres`, once.
/// Every test calls it first, so that temporary directories belong to one user throughout.
pub(crate) fn become_postgres() {
    programs();
}

/// Who tidies up removes this as well.
const REMOVE: &str = "rm -rf \"$0\"";

/// haad and haactl, and who tidies up behind this process.
struct Programs {
    path: PathBuf,
    sweeper: Mutex<Child>,
}

/// haad and haactl where user `postgres` can run them.
pub(crate) fn programs() -> &'static Path {
    &all_programs().path
}

fn all_programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let haad = Path::new(env!("CARGO_BIN_EXE_haad"));
        let built = haad.parent().expect("a program lies in a directory").to_owned();
        if !nix::unistd::geteuid().is_root() {
            let sweeper = Mutex::new(sweep_after_us(&built, "true"));
            return Programs { path: built, sweeper };
        }
        let copies = copy_programs(&built);
        let user = nix::unistd::User::from_name("postgres")
            .expect("the user database can be read")
            .expect("user postgres exists: install the Debian package postgresql");
        nix::unistd::chown(copies.path(), Some(user.uid), Some(user.gid)).expect("root may chown");
        nix::unistd::setgroups(&[user.gid]).expect("root may set its groups");
        nix::unistd::setresgid(user.gid, user.gid, user.gid).expect("root may set its group");
        nix::unistd::setresuid(user.uid, user.uid, user.uid).expect("root may set its user");
        let path = copies.keep();
        let sweeper = Mutex::new(sweep_after_us(&path, REMOVE));
        Programs { path, sweeper }
    })
}

/// A static is never dropped, and a test that a runner ends drops nothing: a child waits for the end of this process,
/// however it comes, ends the playgrounds and servers that it was told of, and does the rest.
fn sweep_after_us(programs: &Path, rest: &str) -> Child {
    let ends = "[ ! -f \"$one/state.json\" ] || \"$0/haactl\" playground stop --directory \"$one\"";
    let here = "case \"$(readlink \"$of/cwd\")\" in \"$one\"/*) kill -9 \"${of#/proc/}\";; esac";
    let goes = "rm -rf \"$one\"; rmdir \"${one%/*}\"";
    let told = "all=; while read -r one; do all=\"$all $one\"; done";
    let script = format!(
        "{told}; for one in $all; do {ends}; for of in /proc/[0-9]*; do {here}; done; {goes}; done; {rest}"
    );
    Command::new("sh")
        .args(["-c", &script])
        .arg(programs)
        .current_dir("/")
        // What a runner sends to all of a test is not meant for it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell")
}

/// The directory of a playground or of servers, which end with this process, if not before.
pub(crate) fn goes_with_us(directory: &Path) {
    let mut sweeper = all_programs().sweeper.lock().expect("nobody fails with it");
    let told = sweeper.stdin.as_mut().expect("it is piped");
    writeln!(told, "{}", directory.display()).expect("it listens");
}

fn copy_programs(built: &Path) -> tempfile::TempDir {
    let copies = tempfile::Builder::new()
        .prefix("haa-it-programs-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    for name in ["haad", "haactl"] {
        std::fs::copy(built.join(name), copies.path().join(name)).expect("programs can be copied");
    }
    copies
}

/// A file system of this size, in a mount namespace of this thread and its children: it goes when they end. `None`
/// where nothing can be mounted, which is said, and is a failure with `CI=1`: there nothing may go untested.
/// To be called before anything makes this process another user's.
pub(crate) fn small_disk(size: &str) -> Option<PathBuf> {
    use nix::mount::{MsFlags, mount};
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "1"),
            "with CI=1 this is to run as root"
        );
        println!("NOT TRIED: not root, so no small file system can be mounted");
        return None;
    }
    let none: Option<&str> = None;
    let path = tempfile::Builder::new().prefix("haa-it-small-").tempdir_in("/tmp");
    let path = path.expect("a temporary directory").keep();
    // Before the unsharing: it removes the mount point where nothing is mounted on it.
    std::mem::forget(sweep_after_us(&path, REMOVE));
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root may unshare");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
    let options = format!("size={size},mode=777");
    let made = mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(&*options));
    made.expect("mounted");
    Some(path)
}
