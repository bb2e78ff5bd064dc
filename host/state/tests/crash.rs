//! What is found on disk after a crash, after damage, and by a second process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{files, position, spec};
use record::offset::NextOffset;
use record::store::{StateBackend, StoreError, TaskState};
use wasmill_state::DiskBackend;

const CHILD_DIR: &str = "WASMILL_STATE_TEST_CHILD_DIR";
const KEYS: u8 = 40;

fn open(backend: &DiskBackend, partition: u32) -> Box<dyn TaskState> {
    backend.open("t", partition, &[spec("s", false)]).unwrap()
}

/// Every commit sets all keys to its number, and the position and changelog offset too.
fn commit(state: &mut dyn TaskState, number: i64, padding: usize) {
    for key in 0..KEYS {
        let mut value = number.to_le_bytes().to_vec();
        value.extend(random_bytes(number as u64 * 1_000 + u64::from(key), padding));
        state.put(0, &[key], &value).unwrap();
    }
    state.commit(position(number), NextOffset(number), number).unwrap();
}

/// Not compressible, so that files are as large as what is stored.
fn random_bytes(seed: u64, length: usize) -> impl Iterator<Item = u8> {
    let mut random = seed;
    std::iter::repeat_with(move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 56) as u8
    })
    .take(length)
}

/// The number that the store stands at, after a check that all of it agrees.
fn stands_at(state: &mut dyn TaskState) -> Option<i64> {
    let checkpoint = state.checkpoint()?.clone();
    let number = checkpoint.changelog_next.0;
    if number == 0 {
        return Some(0);
    }
    assert_eq!(checkpoint.position, Some(position(number)));
    for key in 0..KEYS {
        let value = state.get(0, &[key]).unwrap().unwrap();
        assert_eq!(i64::from_le_bytes(value[..8].try_into().unwrap()), number, "key {key}");
    }
    Some(number)
}

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let backend = DiskBackend::open(Path::new(&dir)).unwrap();
    let mut state = open(&backend, 0);
    if state.checkpoint().is_none() {
        state.restored("id", NextOffset(0), 0).unwrap();
    }
    let mut number = stands_at(&mut *state).unwrap();
    loop {
        number += 1;
        commit(&mut *state, number, 3_000);
        eprintln!("committed {number}");
    }
}

#[test]
fn a_killed_process_leaves_data_and_checkpoint_that_agree() {
    let dir = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_commits_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut last = 0;
        let mut commits = 0;
        let mut kill_at = None;
        for line in lines.map_while(Result::ok) {
            let Some(number) = line.strip_prefix("committed ") else {
                continue;
            };
            last = number.parse().unwrap();
            commits += 1;
            // At another moment of its work in each round; later rounds have tables and journals.
            if commits == 20 + round * 37 {
                kill_at = Some(Instant::now() + Duration::from_micros(1_000 + 731 * round));
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) {
                child.kill().unwrap();
                kill_at = None;
            }
        }
        child.wait().unwrap();
        let backend = DiskBackend::open(dir.path()).unwrap();
        let found = stands_at(&mut *open(&backend, 0)).unwrap();
        assert!(found >= last, "commit {last} was told, {found} is found");
        assert!(found > total, "round {round} committed nothing");
        total = found;
    }
    assert!(!has_damaged(dir.path()));
}

const LIMITED_DIR: &str = "WASMILL_STATE_TEST_LIMITED_DIR";

/// Not a test of its own: what the next one starts, in a process whose files may not grow beyond
/// 64 MiB, as on a disk that is full.
#[test]
fn child_whose_disk_is_full() {
    let Some(dir) = std::env::var_os(LIMITED_DIR) else {
        return;
    };
    let backend = DiskBackend::open(Path::new(&dir)).unwrap();
    let mut state = open(&backend, 0);
    let mut other = open(&backend, 1);
    state.restored("id", NextOffset(0), 0).unwrap();
    other.restored("id", NextOffset(0), 0).unwrap();
    commit(&mut *state, 1, 10);
    commit(&mut *other, 1, 10);
    for key in 100..200_u8 {
        let large: Vec<u8> = random_bytes(u64::from(key), 1 << 20).collect();
        state.put(0, &[key], &large).unwrap();
    }
    let refused = state.commit(position(2), NextOffset(2), 2);
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    // The commit stands: the state goes on saying so.
    assert_eq!(state.position(), Some(&position(2)));
    assert_eq!(state.get(0, &[100]).unwrap().map(|value| value.len()), Some(1 << 20));
    other.put(0, b"k", b"v").unwrap();
    assert!(matches!(
        other.commit(position(2), NextOffset(2), 2),
        Err(StoreError::Io { .. })
    ));

    let pid = std::process::id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &pid])
        .status()
        .unwrap();
    assert!(lifted.success());
    // There is room again. Opened anew, a store is as it was after its last whole commit.
    let mut state = open(&backend, 0);
    assert_eq!(stands_at(&mut *state), Some(1));
    assert_eq!(state.get(0, &[100]).unwrap(), None);
    commit(&mut *state, 3, 10);
    assert_eq!(stands_at(&mut *state), Some(3));
    // Nobody goes on with a store of the database that was closed.
    let cut_off = other.get(0, b"not read yet");
    assert!(matches!(cut_off, Err(StoreError::Io { .. })), "{cut_off:?}");
    assert_eq!(stands_at(&mut *open(&backend, 1)), Some(1));
    println!("all is well");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    // A write beyond the limit is an error instead of the end, because the signal is ignored.
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 65536; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["child_whose_disk_is_full", "--exact", "--nocapture"])
        .env(LIMITED_DIR, dir.path())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success() && out.contains("all is well"), "{out}{err}");
}

fn has_damaged(dir: &Path) -> bool {
    files(dir)
        .iter()
        .any(|path| path.to_string_lossy().contains("/damaged-"))
}

/// Every commit sets one key to its number, so that one that is lost in the middle is missed.
fn commit_one_key(state: &mut dyn TaskState, number: i64) {
    let key = (number % i64::from(KEYS)) as u8;
    state.put(0, &[key], &number.to_le_bytes()).unwrap();
    state.commit(position(number), NextOffset(number), number).unwrap();
}

/// The last commit up to `number` that has set a key; 0 for none.
fn last_of_key(key: u8, number: i64) -> i64 {
    let (keys, key) = (i64::from(KEYS), i64::from(key));
    let last = number - (number - key).rem_euclid(keys);
    last.max(0)
}

/// A directory with `commits` commits of partition 0 in it, which set all keys, and a tenth as many
/// of partition 1, which set one; closed.
fn filled(commits: i64, padding: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let backend = DiskBackend::open(dir.path()).unwrap();
    let mut busy = open(&backend, 0);
    let mut quiet = open(&backend, 1);
    busy.restored("id", NextOffset(0), 0).unwrap();
    quiet.restored("id", NextOffset(0), 0).unwrap();
    for number in 1..=commits {
        commit(&mut *busy, number, padding);
        if number % 10 == 0 {
            commit_one_key(&mut *quiet, number / 10);
        }
    }
    drop((busy, quiet, backend));
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// After damage a store is as it was after some commit, or is found to be damaged and starts empty.
/// What it must never be is something in between. Tells how many stores were damaged.
fn check_after_damage(dir: &Path, what: &str) -> usize {
    let backend = DiskBackend::open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    (0..2)
        .filter(|partition| is_damaged(&backend, *partition, &format!("{what}, partition {partition}")))
        .count()
}

fn is_damaged(backend: &DiskBackend, partition: u32, what: &str) -> bool {
    let mut state = open(backend, partition);
    let Some(checkpoint) = state.checkpoint().cloned() else {
        return true;
    };
    let number = checkpoint.changelog_next.0;
    let mut is_damaged = false;
    for key in 0..KEYS {
        let expected = match partition {
            0 => number,
            _ => last_of_key(key, number),
        };
        match state.get(0, &[key]) {
            Ok(Some(value)) => assert_eq!(&value[..8], &expected.to_le_bytes(), "{what}: key {key}"),
            Ok(None) => assert_eq!(expected, 0, "{what}: key {key} is gone"),
            Err(StoreError::Corrupt { .. }) => is_damaged = true,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    if is_damaged {
        state.wipe().unwrap();
        state.restored("id", NextOffset(0), 0).unwrap();
    }
    // It goes on from there.
    commit(&mut *state, number + 1, 10);
    drop(state);
    assert_eq!(stands_at(&mut *open(backend, partition)), Some(number + 1), "{what}");
    is_damaged
}

/// Checks a copy of a directory in which `damage` was done to one file.
fn with_damage(dir: &Path, file: &Path, what: &str, damage: impl FnOnce(&Path)) -> usize {
    let damaged = tempfile::tempdir().unwrap();
    copy(dir, damaged.path());
    let name = file.strip_prefix(dir).unwrap();
    damage(&damaged.path().join(name));
    check_after_damage(damaged.path(), &format!("{} {what}", name.display()))
}

fn flip(path: &Path, place: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, place).unwrap();
}

#[test]
fn a_flipped_byte_is_never_believed() {
    // Larger than what is kept in memory, so that there are tables as well as a journal.
    let dir = filled(150, 3_000);
    let files: Vec<_> = files(&dir.path().join("stores"))
        .into_iter()
        .filter(|path| !path.ends_with("lock"))
        .collect();
    assert!(
        files
            .iter()
            .any(|path| path.parent().is_some_and(|parent| parent.ends_with("1/tables"))),
        "{files:?}"
    );
    let (mut damaged, mut whole) = (0, 0);
    for file in &files {
        let length = fs::metadata(file).unwrap().len();
        for place in [0, length / 3, length / 2, length.saturating_sub(20)] {
            if place < length {
                let found = with_damage(dir.path(), file, &format!("at {place}"), |path| flip(path, place));
                damaged += found;
                whole += 2 - found;
            }
        }
    }
    // Both happen: a flip that is found, and one in what is not read any more.
    assert!(damaged > 0 && whole > 0, "{damaged} damaged, {whole} whole");
}

#[test]
fn damage_in_any_journal_is_never_believed() {
    // The quiet partition keeps the oldest journal alive: it has the only copy of its commits.
    let dir = filled(900, 3_000);
    let journals: Vec<_> = files(dir.path())
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "jnl"))
        .collect();
    assert!(journals.len() > 1, "{journals:?}");
    assert_eq!(with_damage(dir.path(), &journals[0], "untouched", |_| {}), 0);
    let number = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<u32>().unwrap();
    let newest = journals.iter().max_by_key(|path| number(path)).unwrap();
    for journal in &journals {
        let length = fs::metadata(journal).unwrap().len();
        let mut damaged = 0;
        for cut in [0, length / 7, length / 2] {
            damaged += with_damage(dir.path(), journal, &format!("cut at {cut}"), |path| {
                fs::File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(cut)
                    .unwrap();
            });
        }
        for place in [0, length / 7, length / 2] {
            damaged += with_damage(dir.path(), journal, &format!("at {place}"), |path| flip(path, place));
        }
        damaged += with_damage(dir.path(), journal, "is gone", |path| fs::remove_file(path).unwrap());
        assert!(damaged > 0 || journal == newest, "{}", journal.display());
    }
    // Without any journal nothing can be believed.
    let all_gone = with_damage(dir.path(), &journals[0], "and all others are gone", |path| {
        for journal in files(path.parent().unwrap()) {
            if journal.extension().is_some_and(|extension| extension == "jnl") {
                fs::remove_file(journal).unwrap();
            }
        }
    });
    assert_eq!(all_gone, 2);
}

#[test]
fn a_database_that_cannot_be_opened_is_moved_aside() {
    let dir = filled(2, 10);
    for path in files(dir.path()) {
        if path.file_name().is_some_and(|name| name == "version") {
            fs::write(path, b"nothing that one knows").unwrap();
        }
    }
    let backend = DiskBackend::open(dir.path()).unwrap();
    let mut state = open(&backend, 0);
    assert_eq!(state.checkpoint(), None);
    state.restored("id", NextOffset(0), 0).unwrap();
    commit(&mut *state, 9, 10);
    assert!(has_damaged(dir.path()));
    drop((state, backend));
    assert_eq!(
        stands_at(&mut *open(&DiskBackend::open(dir.path()).unwrap(), 0)),
        Some(9)
    );
}

#[test]
fn a_start_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("stores/keyspaces")).unwrap();
    fs::write(dir.path().join("stores/0.jnl"), b"").unwrap();
    let backend = DiskBackend::open(dir.path()).unwrap();
    assert_eq!(open(&backend, 0).checkpoint(), None);
}

#[test]
fn a_second_owner_is_refused_and_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let first = DiskBackend::open(dir.path()).unwrap();
    let refused = DiskBackend::open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Locked { .. }));
    assert!(refused.to_string().contains("state_dir"), "{refused}");
    assert!(matches!(DiskBackend::clear(dir.path()), Err(StoreError::Locked { .. })));
    // A state in use keeps the directory, whatever becomes of the backend.
    let state = open(&first, 0);
    drop(first);
    assert!(DiskBackend::open(dir.path()).is_err());
    drop(state);
    DiskBackend::open(dir.path()).unwrap();
}

#[test]
fn the_process_id_stays() {
    let dir = tempfile::tempdir().unwrap();
    let id = DiskBackend::open(dir.path()).unwrap().process_id().to_owned();
    assert_eq!(id.len(), 36);
    assert_eq!(DiskBackend::open(dir.path()).unwrap().process_id(), id);
    DiskBackend::clear(dir.path()).unwrap();
    assert_eq!(DiskBackend::open(dir.path()).unwrap().process_id(), id);
    fs::write(dir.path().join("process-id"), [0xff, 0xfe]).unwrap();
    assert_ne!(DiskBackend::open(dir.path()).unwrap().process_id(), id);
}

#[test]
fn a_cleared_directory_has_no_state() {
    let dir = filled(3, 10);
    DiskBackend::clear(dir.path()).unwrap();
    assert_eq!(open(&DiskBackend::open(dir.path()).unwrap(), 0).checkpoint(), None);
    let new = tempfile::tempdir().unwrap();
    DiskBackend::clear(&new.path().join("not/there/yet")).unwrap();
}

#[test]
fn partitions_and_long_names_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let backend = DiskBackend::open(dir.path()).unwrap();
    let long = "t".repeat(300);
    for (transform, partition) in [("t", 1), ("t", 2), (long.as_str(), 1), (&long[1..], 1)] {
        let mut state = backend.open(transform, partition, &[spec("s", false)]).unwrap();
        assert_eq!(state.checkpoint(), None, "{transform}:{partition}");
        state.restored("id", NextOffset(0), 0).unwrap();
        commit(&mut *state, i64::from(partition), 0);
    }
}
