//! What stands in several files and must be the same in all of them.

use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The trimmed rest of each line that begins with this.
fn after<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.trim().strip_prefix(start))
        .map(str::trim)
}

#[test]
fn the_manifest_the_image_and_the_workflows_name_one_toolchain() {
    let wanted = env!("CARGO_PKG_RUST_VERSION");

    let dockerfile = read("Dockerfile");
    let builders: Vec<&str> = after(&dockerfile, "FROM rust:").collect();
    assert!(!builders.is_empty());
    for builder in builders {
        let (version, _) = builder.split_once('-').unwrap();
        assert_eq!(version, wanted, "Dockerfile");
    }

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for version in after(&text, "RUST_VERSION:") {
            found += 1;
            assert_eq!(version.trim_matches('"'), wanted, "{}", path.display());
        }
    }
    assert!(found > 0, "no workflow names a toolchain");
}

#[test]
fn workflows_get_no_permission_that_they_do_not_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.lines().any(|line| line == "permissions: {}"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_image_runs_without_root_and_probes_itself() {
    let dockerfile = read("Dockerfile");
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();

    let user = after(last, "USER ").next().unwrap();
    let number = user.split(':').next().unwrap();
    assert!(
        number.parse::<u32>().is_ok_and(|id| id > 0),
        "a number is what an orchestrator can check: {user}"
    );

    let binary = "/usr/local/bin/clustergate";
    assert!(last.contains(&format!(" {binary}\n")), "it is copied there");
    let entry = after(last, "ENTRYPOINT ").collect::<Vec<_>>();
    assert_eq!(entry, [format!("[\"{binary}\"]")]);
    assert!(last.contains(&format!("CMD [\"{binary}\", \"health\"]")));
    let expose = after(last, "EXPOSE ").collect::<Vec<_>>();
    assert_eq!(expose, ["8650"]);

    let folder = after(last, "ENV CLUSTERGATE_DATA_DIR=").next().unwrap();
    assert_eq!(after(last, "VOLUME ").collect::<Vec<_>>(), [folder]);
    let (owned, _) = last.split_once("\nUSER ").unwrap();
    assert!(
        owned.contains(&format!("--owner={number} ")),
        "the user must be able to write its volume"
    );
    assert!(
        owned.contains("\nVOLUME "),
        "the folder is made before it is a volume"
    );

    for image in after(&dockerfile, "FROM ") {
        assert!(
            image.contains(':') && !image.contains(":latest"),
            "{image} is not a version"
        );
    }
}
