//! `clustergate kubeconfig`: what `kubectl` needs for one cluster or for many.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use http::HeaderMap;
use url::Url;

use super::access::{Access, Target};
use super::exit::{Exit, Failure};
use super::filters::{Filters, target};
use super::get::identifier;
use super::inventory::hint;
use super::printer::Printer;
use super::text::clean;
use crate::domain::ClusterId;
use crate::export::kubeconfig::MARK;

/// Write a kubeconfig for clusters.
///
/// Its users run `clustergate credential`, so that it holds no secret and a credential is never older than it must be. One file
/// with several clusters has no current context. To use it beside your own: KUBECONFIG=~/.kube/config:FILE
#[derive(Debug, Clone, Args)]
pub struct Kubeconfig {
    /// One cluster; without it all that the filters select
    #[arg(value_parser = identifier)]
    pub id: Option<ClusterId>,
    /// Put the vendors' credentials into the file; whoever has it has the clusters
    #[arg(long)]
    pub embed: bool,
    /// Write to this file, which nobody else may read; without it to standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace FILE even if clustergate has not made it
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Filters.
    #[command(flatten)]
    pub filters: Filters,
    /// Where to read from.
    #[command(flatten)]
    pub target: Target,
}

impl Kubeconfig {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let path = self.path()?;
        let access = Access::open(&self.target).await?;
        let reply = access.get(&path, "application/yaml").await?;
        match &self.output {
            None => printer.pass(&reply.body)?,
            Some(file) => {
                write_private(file, &reply.body, self.force)?;
                let shown = file.display();
                printer.remark(&format!(
                    "written to {shown}; kubectl reads it with --kubeconfig {shown}"
                ));
            }
        }
        Ok(match missing(&reply.headers) {
            None => Exit::Ok,
            Some(warning) => {
                printer.remark(&warning);
                Exit::Incomplete
            }
        })
    }

    fn path(&self) -> Result<String, Failure> {
        let mut parameters = self.filters.parameters();
        let path = match &self.id {
            Some(_) if !parameters.is_empty() => {
                return Err(Failure::Usage(
                    "either one cluster or filters, not both".to_owned(),
                ));
            }
            Some(id) => format!("/clusters/{id}/kubeconfig"),
            None => "/kubeconfig".to_owned(),
        };
        if self.embed {
            parameters.push(("embed", "true".to_owned()));
        } else if self.target.direct {
            return Err(Failure::Usage(
                "with --direct there is no gateway that users could ask for their credential: add --embed"
                    .to_owned(),
            ));
        } else {
            parameters.push(("gateway", public(&self.target.url).into()));
        }
        Ok(target(&path, &parameters))
    }
}

/// A gateway's address as it may be written into a file: without user and password.
fn public(url: &Url) -> Url {
    let mut url = url.clone();
    // Only addresses without a host have no place for them, and this one has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// What the answer says of clusters that it does not have.
fn missing(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-kubeconfig-missing")?.to_str().ok()?;
    let mut lines = vec!["warning: not every cluster is in the file".to_owned()];
    for part in value.split(", ") {
        lines.push(match part.split_once(';') {
            Some((id, code)) => match hint(code).or_else(|| own_hint(code)) {
                Some(hint) => format!("  {}: {}: {hint}", clean(id), clean(code)),
                None => format!("  {}: {}", clean(id), clean(code)),
            },
            None => format!("  {} more", clean(part.trim_start_matches('+'))),
        });
    }
    Some(lines.join("\n"))
}

fn own_hint(code: &str) -> Option<&'static str> {
    match code {
        "KUBECONFIG_NEEDS_EMBED" => Some(
            "the vendor gives a password or a command, which only a file can hold: --embed puts it in",
        ),
        "TIMEOUT" => Some("there was no time left to ask its vendor: select fewer clusters"),
        "KUBECONFIG_UNUSABLE" => Some("the vendor's file is not one that can be passed on safely"),
        _ => None,
    }
}

/// Writes a file that only its owner may read, whole or not at all. What clustergate has not made is not replaced unless `force`
/// says so.
fn write_private(path: &Path, content: &[u8], force: bool) -> Result<(), Failure> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let exists = match begins_with_mark(path) {
        Ok(is_ours) if is_ours || force => true,
        Ok(_) => {
            return Err(Failure::Usage(format!(
                "{} exists and was not made by clustergate; --force replaces it",
                path.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(named(error).into()),
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Made with mode 0600, and renamed when it is whole.
    let mut file = tempfile::Builder::new()
        .prefix(".clustergate-")
        .tempfile_in(folder)
        .map_err(named)?;
    file.write_all(content).map_err(named)?;
    file.as_file().sync_all().map_err(named)?;
    let kept = if exists {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    kept.map_err(|failed| named(failed.error))?;
    Ok(())
}

fn begins_with_mark(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    std::fs::File::open(path)?
        .take(MARK.len() as u64)
        .read_to_end(&mut start)?;
    Ok(start == MARK.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;
    use http::HeaderValue;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        command: Kubeconfig,
    }

    fn command(url: &str) -> Kubeconfig {
        Line::try_parse_from(["kubeconfig", "--url", url])
            .unwrap()
            .command
    }

    #[test]
    fn the_gateway_is_told_where_users_will_find_it() {
        let mut all = command("https://user:secret@gate.example/inventory");
        all.filters.state = vec!["running".into()];
        assert_eq!(
            all.path().unwrap(),
            "/kubeconfig?state=running&gateway=https%3A%2F%2Fgate.example%2Finventory"
        );
        all.embed = true;
        assert_eq!(all.path().unwrap(), "/kubeconfig?state=running&embed=true");
        all.id = ClusterId::parse("main:kc_1");
        assert!(matches!(all.path(), Err(Failure::Usage(_))));
        all.filters = Filters::default();
        assert_eq!(
            all.path().unwrap(),
            "/clusters/main:kc_1/kubeconfig?embed=true"
        );
        all.embed = false;
        all.target.direct = true;
        assert!(matches!(all.path(), Err(Failure::Usage(_))));
    }

    #[test]
    fn only_files_of_our_own_are_replaced_and_nobody_else_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fleet.yaml");
        let made = format!("{MARK}: 1");
        write_private(&file, made.as_bytes(), false).unwrap();
        write_private(&file, format!("{MARK}: 2").as_bytes(), false).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{MARK}: 2"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        fs::write(&file, "apiVersion: v1").unwrap();
        let refused = write_private(&file, made.as_bytes(), false).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert_eq!(fs::read_to_string(&file).unwrap(), "apiVersion: v1");
        write_private(&file, made.as_bytes(), true).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), made);
        let nowhere = write_private(&folder.path().join("no/where"), b"", false);
        assert_eq!(nowhere.unwrap_err().exit(), Exit::Failure);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let mut headers = HeaderMap::new();
        assert_eq!(missing(&headers), None);
        headers.insert(
            "x-kubeconfig-missing",
            HeaderValue::from_static("a:1;UPSTREAM_TIMEOUT, a:2;KUBECONFIG_NEEDS_EMBED, +7"),
        );
        insta::assert_snapshot!(missing(&headers).unwrap());
    }
}
