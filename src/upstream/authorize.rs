//! Puts the token into each attempt, and keeps it out of everything else.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use tower::ServiceExt as _;

use super::layer::{Pass, Within};
use super::{Answer, Credential, FailureKind, Scheme, TokenSource, UpstreamError};

/// No vendor's token is near this long; a larger file is a mistake.
const LARGEST_TOKEN_FILE: u64 = 64 << 10;

/// Authorizes each attempt anew, so that a rotated token file is picked up without a restart.
pub(super) struct Keyring {
    credential: Credential,
    read: Mutex<Option<Cached>>,
}

impl<S: Within> Pass<S> for Arc<Keyring> {
    async fn pass(self, within: S, mut request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        let token = self.token()?;
        let header = self.header(&token)?;
        request.headers_mut().insert(AUTHORIZATION, header);
        let mut answer = within.oneshot(request).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.forget();
        }
        if !answer.status.is_success() {
            // Error answers are kept for the operator, and some vendors repeat the token in them.
            answer.body = redact(answer.body, token.expose_secret());
        }
        Ok(answer)
    }
}

struct Cached {
    modified: Option<SystemTime>,
    length: u64,
    token: SecretString,
}

impl Keyring {
    pub(super) fn new(credential: Credential) -> Self {
        Self {
            credential,
            read: Mutex::new(None),
        }
    }

    fn token(&self) -> Result<SecretString, UpstreamError> {
        match &*self.credential.token {
            TokenSource::Value(token) => Ok(token.clone()),
            TokenSource::File(path) => self
                .token_from(path)
                .map_err(|reason| refusal(format!("token file {}: {reason}", path.display()))),
        }
    }

    // The file is small and local: reading it here costs less than a hop to another thread.
    fn token_from(&self, path: &Path) -> Result<SecretString, String> {
        let (mut file, metadata) = open(path)?;
        let (modified, length) = (metadata.modified().ok(), metadata.len());
        let mut cached = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*cached
            && known.modified == modified
            && known.length == length
            && modified.is_some()
        {
            return Ok(known.token.clone());
        }
        let token = read(&mut file)?;
        *cached = Some(Cached {
            modified,
            length,
            token: token.clone(),
        });
        Ok(token)
    }

    fn header(&self, token: &SecretString) -> Result<HeaderValue, UpstreamError> {
        let token = token.expose_secret();
        let value = match self.credential.scheme {
            Scheme::Bearer => HeaderValue::try_from(format!("Bearer {token}")),
            Scheme::Raw => HeaderValue::from_str(token),
        };
        let mut value = value
            .map_err(|_| refusal("the token has characters that no header may have".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn forget(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Reads a file that holds one secret and nothing else; says what is wrong with it otherwise.
pub fn read_secret_file(path: &Path) -> Result<SecretString, String> {
    let (mut file, _) = open(path)?;
    read(&mut file)
}

/// Opens a file of a secret, unless everybody can read it.
fn open(path: &Path) -> Result<(File, Metadata), String> {
    let file = File::open(path).map_err(reason)?;
    let metadata = file.metadata().map_err(reason)?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if is_world_readable(&metadata) {
        return Err("readable by everyone; take that right away (chmod o-r)".to_owned());
    }
    if metadata.len() > LARGEST_TOKEN_FILE {
        return Err("too large for a token".to_owned());
    }
    Ok((file, metadata))
}

fn read(file: &mut File) -> Result<SecretString, String> {
    let mut text = String::new();
    file.take(LARGEST_TOKEN_FILE)
        .read_to_string(&mut text)
        .map_err(reason)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let token = SecretString::from(line.strip_suffix('\r').unwrap_or(line));
    if token.expose_secret().is_empty() {
        return Err("empty".to_owned());
    }
    Ok(token)
}

fn refusal(text: String) -> UpstreamError {
    let mut error = UpstreamError::new(FailureKind::Credential).with_text(text);
    error.attempts = 0;
    error
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is a function for map_err"
)]
fn reason(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not found".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        io::ErrorKind::InvalidData => "not text".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(unix)]
fn is_world_readable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &Metadata) -> bool {
    false
}

fn redact(body: Bytes, token: &str) -> Bytes {
    let token = token.as_bytes();
    if token.is_empty() || memchr::memmem::find(&body, token).is_none() {
        return body;
    }
    let mut clean = Vec::with_capacity(body.len());
    let mut rest = &body[..];
    while let Some(at) = memchr::memmem::find(rest, token) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(b"[redacted]");
        rest = &rest[at + token.len()..];
    }
    clean.extend_from_slice(rest);
    clean.into()
}
