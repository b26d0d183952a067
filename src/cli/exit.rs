//! How a command ends: its exit code, and what it says on standard error.

use std::error::Error;
use std::process::ExitCode;

use super::problem::Problem;
use crate::access::KeysError;
use crate::app::{AppError, StoredError};
use crate::config::Mistakes;
use crate::telemetry::logs::InitError;
use crate::upstream::FetchError;

/// How a command that did its work ended. The numbers are a contract: scripts branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done.
    Ok,
    /// Something failed.
    Failure,
    /// The command line or the configuration cannot be used.
    Usage,
    /// The answer was given, and it is not the whole inventory.
    Incomplete,
    /// There is no such cluster, source or key.
    NotFound,
    /// The gateway cannot be reached.
    Unreachable,
}

impl Exit {
    /// Every way to end.
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Incomplete,
        Self::NotFound,
        Self::Unreachable,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::NotFound => 4,
            Self::Unreachable => 5,
        }
    }

    /// What it means, for the help text.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; the inventory shown is complete",
            Self::Failure => {
                "something failed, or `check` found a source that cannot be read, or `store check` something that is not what was written"
            }
            Self::Usage => "the command line or the configuration cannot be used",
            Self::Incomplete => {
                "the inventory is incomplete: what is known was printed (nothing with --require-complete), and standard error names the sources that are missing"
            }
            Self::NotFound => "there is no such cluster, source or key",
            Self::Unreachable => "the gateway cannot be reached",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] Mistakes),
    /// The command line cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Logging cannot be set up.
    #[error("logging cannot be set up")]
    Log(#[source] InitError),
    /// The program itself failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// The gateway could not be asked. Its address is named without user and password.
    #[error("the gateway at {gateway} cannot be read")]
    Gateway {
        /// Where it was looked for.
        gateway: String,
        /// Why.
        #[source]
        error: FetchError,
    },
    /// The keys file cannot be used as asked.
    #[error("{file}: {error}")]
    Keys {
        /// Where it is.
        file: String,
        /// Why.
        error: KeysError,
    },
    /// The store cannot be used as asked.
    #[error(transparent)]
    Store(#[from] StoredError),
    /// A file cannot be used.
    #[error("{file}")]
    File {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The gateway says no.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer is not one that a gateway gives.
    #[error("the answer cannot be understood: {0}")]
    Answer(&'static str),
    /// The one output of a key could not be written.
    #[error("the key cannot be written to standard output: it was taken back, and opens nothing")]
    Unprinted(#[source] std::io::Error),
    /// The output could not be written.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

impl Failure {
    /// The exit code it stands for.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_)
            | Self::Usage(_)
            | Self::Log(_)
            | Self::Store(StoredError::Address(_))
            | Self::App(AppError::Config(_)) => Exit::Usage,
            Self::Gateway { error, .. } => match error {
                FetchError::Connect(_) | FetchError::Timeout => Exit::Unreachable,
                FetchError::Client(_) | FetchError::Interrupted(_) | FetchError::TooLarge(_) => {
                    Exit::Failure
                }
            },
            Self::Keys {
                error: KeysError::Unknown(_),
                ..
            } => Exit::NotFound,
            Self::Problem(problem) => problem.exit(),
            // The reader of a pipe went away, as `head` does: it has what it wanted.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
            // The reader of an export went away.
            Self::Store(StoredError::Copy(error)) if is_broken_pipe(error) => Exit::Ok,
            Self::App(_)
            | Self::Store(_)
            | Self::File { .. }
            | Self::Answer(_)
            | Self::Output(_)
            | Self::Unprinted(_)
            | Self::Keys { .. } => Exit::Failure,
        }
    }

    /// What to say of it, with its causes; `None` where there is nothing to say.
    pub fn report(&self) -> Option<String> {
        if self.exit() == Exit::Ok {
            return None;
        }
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.ends_with(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        if let Self::Gateway {
            error: FetchError::Connect(_),
            ..
        } = self
        {
            text.push_str("\n  start one with `clustergate serve`, name another with --url, or read the vendors yourself with --direct");
        }
        if let Self::Problem(problem) = self
            && problem.code == "UNAUTHENTICATED"
        {
            text.push_str("\n  show an API key by CLUSTERGATE_API_KEY, or by a file that holds it with --api-key-file");
        }
        Some(text)
    }
}

fn is_broken_pipe(error: &dyn Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Mistake;

    #[test]
    fn every_exit_has_a_number_of_its_own_and_zero_is_success() {
        let codes: BTreeSet<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes.len(), Exit::ALL.len());
        assert_eq!(Exit::Ok.code(), 0);
    }

    #[test]
    fn a_failure_has_the_exit_code_of_its_kind() {
        let mistakes = Mistakes(vec![Mistake::new("sources", "missing")]);
        assert_eq!(Failure::from(mistakes).exit(), Exit::Usage);
        let gateway = |error| Failure::Gateway {
            gateway: "http://localhost:1".into(),
            error,
        };
        assert_eq!(gateway(FetchError::Timeout).exit(), Exit::Unreachable);
        assert_eq!(gateway(FetchError::TooLarge(1)).exit(), Exit::Failure);
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(pipe).exit(), Exit::Ok);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Failure::from(full).exit(), Exit::Failure);
    }

    #[test]
    fn causes_are_told_once() {
        let failure = Failure::Gateway {
            gateway: "http://localhost:1".into(),
            error: FetchError::Connect("connection refused".into()),
        };
        insta::assert_snapshot!(failure.report().unwrap());
    }
}
