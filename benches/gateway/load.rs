//! Load over real sockets: keep-alive connections.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

thread_local! {
    /// Answers are looked at once and never kept, so thousands of connections can share what they are read into.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Asks and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Head> {
        self.stream.write_all(request).await?;
        let mut begun = Vec::new();
        let mut head = None;
        let mut body = 0;
        while head.is_none() {
            self.read(|bytes| {
                // As a rule the head comes in one piece, and then nothing is copied.
                let bytes = if begun.is_empty() {
                    bytes
                } else {
                    begun.extend_from_slice(bytes);
                    &begun
                };
                if let Some((found, length)) = Head::find(bytes) {
                    body = bytes.len() - length;
                    head = Some(found);
                } else if begun.is_empty() {
                    begun = bytes.to_vec();
                }
            })
            .await?;
        }
        let head = head.ok_or(io::ErrorKind::InvalidData)?;
        while body < head.body {
            body += self.read(|_| {}).await?;
        }
        Ok(head)
    }

    async fn read(&mut self, mut see: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
                let bytes = buffer.filled();
                if bytes.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                see(bytes);
                Poll::Ready(Ok(bytes.len()))
            })
        })
        .await
    }
}

/// What an answer begins with.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Length of the body that follows.
    body: usize,
    text: String,
}

impl Head {
    /// A whole head at the start of these bytes, and its length.
    fn find(bytes: &[u8]) -> Option<(Self, usize)> {
        let length = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let mut head = Self {
            status: text
                .get(9..12)
                .and_then(|status| status.parse().ok())
                .unwrap_or(0),
            body: 0,
            text,
        };
        head.body = head
            .field("content-length")
            .map_or(0, |length| length.parse().expect("a number"));
        Some((head, length + 4))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.text.split("\r\n").find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
