//! Stores that are damaged, too new, taken or out of reach: the gateway serves, and shows nothing that is not true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clustergate::sandbox::{Fault, Sandbox};
use clustergate::store::{Address, Settings};
use http::StatusCode;
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{caught_up, everything, set_faults, standing, store_in, unmarked, whole};
use crate::secrets::logged;
use crate::support::process::{Process, configure};
use crate::support::{PATIENCE, Plan, Rig};

/// A file that a gateway left, and what it had shown.
struct Left {
    folder: TempDir,
    plan: Plan,
    sandbox: Arc<Sandbox>,
    shown: BTreeMap<String, Value>,
}

impl Left {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            clusters: 12,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let rig = whole(&sandbox, &plan, &store_in(folder.path())).await;
        let shown = by_id(everything(&rig).await);
        rig.stop().await;
        set_faults(&sandbox, Some(Fault::Http503));
        Self {
            folder,
            plan,
            sandbox,
            shown,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clustergate.db")
    }

    fn store(&self) -> Settings {
        store_in(self.folder.path())
    }

    async fn start(&self) -> Rig {
        Rig::remembering(&self.sandbox, &self.plan, &self.store()).await
    }

    /// What a gateway shows is as it was, and where something is missing it says so.
    fn check(&self, list: &Value, what: &str) {
        let after = by_id(list.clone());
        for (id, item) in &after {
            assert_eq!(item, &self.shown[id], "{what}");
        }
        for source in list["sources"].as_array().unwrap() {
            let of =
                |id: &&String| id.starts_with(&format!("{}:", source["source"].as_str().unwrap()));
            let (before, now) = (
                self.shown.keys().filter(of).count(),
                after.keys().filter(of).count(),
            );
            let says = source["omitted"].as_u64() > Some(0) || source["state"] == "never";
            assert!(before == now || says, "{what}: {now} of {before}: {source}");
            assert_ne!(source["state"], "fresh", "{what}");
        }
    }

    /// The vendors come back: whatever was lost is there again, and is kept.
    async fn recovers(&self, rig: Rig) {
        set_faults(&self.sandbox, None);
        rig.settled().await;
        for vendor in self.sandbox.vendors() {
            rig.refresh(vendor.vendor().name()).await;
        }
        caught_up(&rig).await;
        let list = everything(&rig).await;
        assert_eq!(list["complete"], true);
        assert_eq!(by_id(list).len(), self.shown.len());
        rig.stop().await;
        set_faults(&self.sandbox, Some(Fault::Http503));
        let next = self.start().await;
        assert_eq!(by_id(everything(&next).await).len(), self.shown.len());
        next.stop().await;
    }

    fn set_aside(&self) -> usize {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("clustergate.db.corrupt-"))
            .count()
    }
}

fn by_id(list: Value) -> BTreeMap<String, Value> {
    let items = unmarked(list).into_iter();
    items
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item))
        .collect()
}

#[tokio::test]
async fn what_is_no_store_is_moved_aside_and_a_new_one_begun() {
    let left = Left::new().await;
    fs::write(left.file(), "not what was written".repeat(1_000)).unwrap();
    let rig = left.start().await;
    assert_eq!(left.set_aside(), 1);
    left.check(&everything(&rig).await, "garbage");
    left.recovers(rig).await;
    assert_eq!(left.set_aside(), 1);
}

#[tokio::test]
async fn a_cut_file_shows_nothing_untrue() {
    let left = Left::new().await;
    let whole = fs::read(left.file()).unwrap();
    for share in [1, 3, 5, 7] {
        fs::write(left.file(), &whole[..whole.len() * share / 8]).unwrap();
        let rig = left.start().await;
        left.check(&everything(&rig).await, &format!("{share} of 8 parts"));
        rig.stop().await;
    }
    fs::write(left.file(), &whole[..whole.len() / 2]).unwrap();
    let rig = left.start().await;
    left.recovers(rig).await;
}

#[tokio::test]
async fn a_flipped_bit_shows_nothing_untrue() {
    let left = Left::new().await;
    let whole = fs::read(left.file()).unwrap();
    // The same places each time.
    let mut place = 7_usize;
    for _ in 0..24 {
        place = place
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = (place >> 20) % whole.len();
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (place >> 17 & 7);
        fs::write(left.file(), &flipped).unwrap();
        let rig = left.start().await;
        left.check(&everything(&rig).await, &format!("byte {at}"));
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_is_left_as_it_is() {
    let left = Left::new().await;
    let address = format!("sqlite://{}", left.file().display());
    let mut connection = SqliteConnection::connect(&address).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (1000000, 'later', TRUE, x'00', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = fs::read(left.file()).unwrap();
    set_faults(&left.sandbox, None);
    let rig = left.start().await;
    rig.settled().await;
    assert_eq!(
        standing(&rig).await,
        ("behind".to_owned(), Some("STORE_NEWER".to_owned()))
    );
    assert_eq!(everything(&rig).await["complete"], true);
    let metrics = rig.get("/metrics").await.text;
    assert!(metrics.contains("clustergate_store_up 0\n"), "{metrics}");
    rig.stop().await;
    assert_eq!(fs::read(left.file()).unwrap(), before);
}

#[test]
fn a_second_gateway_serves_from_memory_until_the_first_is_gone() {
    let (left, log) = logged(async {
        let left = Left::new().await;
        set_faults(&left.sandbox, None);
        let first = left.start().await;
        first.settled().await;
        let second = left.start().await;
        second.settled().await;
        let locked = ("behind".to_owned(), Some("STORE_LOCKED".to_owned()));
        assert_eq!(standing(&second).await, locked);
        assert_eq!(standing(&first).await, ("ok".to_owned(), None));
        for _ in 0..3 {
            second.refresh("kubeadapt").await;
        }
        assert_eq!(standing(&second).await, locked);
        first.stop().await;
        second.refresh("kubeadapt").await;
        left.recovers(second).await;
        left
    });
    assert_eq!(left.set_aside(), 0);
    for (event, level) in [
        ("the store is behind;", "ERROR"),
        ("the store has caught up", "INFO"),
    ] {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(event)).collect();
        assert!(
            told.len() == 1 && told[0].contains(level),
            "once: {told:#?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_keeps_nobody_from_reading() {
    let left = Left::new().await;
    set_faults(&left.sandbox, None);
    // A file where the folder should be stops every user, also one who may do everything.
    let store = store_in(&left.file());
    let rig = Rig::remembering(&left.sandbox, &left.plan, &store).await;
    rig.settled().await;
    assert_eq!(
        standing(&rig).await,
        ("behind".to_owned(), Some("STORE_UNWRITABLE".to_owned()))
    );
    assert_eq!(everything(&rig).await["complete"], true);
    rig.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_may_not_be_written_keeps_nobody_from_reading() {
    use std::os::unix::fs::PermissionsExt as _;

    let left = Left::new().await;
    set_faults(&left.sandbox, None);
    let folder = left.folder.path().join("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let rig = Rig::remembering(&left.sandbox, &left.plan, &store_in(&folder)).await;
    rig.settled().await;
    let is_powerful = fs::write(folder.join("probe"), "").is_ok();
    let expected = if is_powerful {
        None
    } else {
        Some("STORE_UNWRITABLE".to_owned())
    };
    assert_eq!(standing(&rig).await.1, expected);
    assert_eq!(everything(&rig).await["complete"], true);
    rig.stop().await;
}

#[test]
fn a_server_that_is_away_keeps_nobody_from_reading() {
    let ((), log) = logged(async {
        let plan = Plan::default();
        let sandbox = plan.sandbox().await;
        // Nobody listens there.
        let address = "postgres://somebody:hunter2@127.0.0.1:9/none";
        let address = Address::parse(address, Path::new("")).unwrap();
        let alone = Settings {
            shared: None,
            ..Settings::at(address)
        };
        let rig = Rig::remembering(&sandbox, &plan, &alone).await;
        rig.settled().await;
        let (status, code) = standing(&rig).await;
        assert_eq!(status, "behind");
        assert_eq!(code.as_deref(), Some("STORE_UNREACHABLE"));
        assert_eq!(everything(&rig).await["complete"], true);
        rig.stop().await;
    });
    assert!(log.contains("STORE_UNREACHABLE"), "{log}");
    assert!(
        !log.contains("hunter2") && !log.contains("somebody"),
        "{log}"
    );
}

#[test]
fn without_the_server_that_others_may_share_nothing_is_read() {
    let ((), log) = logged(async {
        let plan = Plan::default();
        let sandbox = plan.sandbox().await;
        // Nobody listens there.
        let address = "postgres://somebody:hunter2@127.0.0.1:9/none";
        let address = Address::parse(address, Path::new("")).unwrap();
        let rig = Rig::remembering(&sandbox, &plan, &Settings::at(address)).await;
        let ready = rig.get("/readyz").await;
        assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ready.json()["code"], "NOTHING_KNOWN");
        assert_eq!(
            rig.get("/clusters").await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
        rig.stop().await;
        let requests: u64 = sandbox
            .vendors()
            .map(|vendor| vendor.stats().requests)
            .sum();
        assert_eq!(requests, 0);
    });
    assert!(log.contains("STORE_UNREACHABLE"), "{log}");
    assert!(
        !log.contains("hunter2") && !log.contains("somebody"),
        "{log}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn files_that_may_not_grow_keep_nobody_from_reading() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Plan::default().sandbox().await;
    let file = home.path().join("clustergate.toml");
    let tokens = configure(&sandbox, &file, "", "1h");
    let process = Process::limited(200, &file, home.path(), &tokens);
    // What was listed does not fit.
    let shown = async {
        loop {
            let list = process.ask("GET", "/clusters?limit=1").await;
            let ready = process.send("GET", "/readyz?verbose", "").await.json();
            let parts = ready["parts"].as_array();
            let mut parts = parts.into_iter().flatten();
            let is_behind = parts.any(|part| part["part"] == "store" && part["status"] == "behind");
            if list["complete"] == true && is_behind {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(PATIENCE, shown).await.is_ok());
}
