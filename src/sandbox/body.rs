//! Bodies that arrive late, in drops, endlessly, or not at all; and the one that is larger than it looks.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use flate2::{Compression, Crc};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::stats::InFlight;

/// How large the bodies are that are too large.
pub(super) const HUGE: usize = 256 << 20;
const CHUNK: usize = 64 << 10;
/// White space is packed in pieces of this size.
const UNIT: usize = 1 << 20;
const DROP_BYTES: usize = 16;
const DROP_EVERY: Duration = Duration::from_millis(250);

/// One piece of what happens while a body is sent.
#[derive(Debug)]
pub(super) enum Part {
    Send(Bytes),
    /// The same bytes so many times.
    Repeat(Bytes, usize),
    /// 16 bytes each 250 ms.
    Drip(Bytes),
    Wait(Duration),
    /// Nothing more, for as long as the client waits.
    Silence,
    /// The connection ends here.
    Break,
}

/// A body as a list of parts.
#[derive(Debug)]
pub(super) struct Outgoing {
    parts: VecDeque<Part>,
    pause: Option<Pin<Box<Sleep>>>,
    size: Option<u64>,
    guard: Option<InFlight>,
}

impl Outgoing {
    /// A whole body of known size.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let size = Some(bytes.len() as u64);
        let parts = if bytes.is_empty() {
            Vec::new()
        } else {
            vec![Part::Send(bytes)]
        };
        Self {
            size,
            ..Self::of(parts)
        }
    }

    /// A body whose size nobody tells.
    pub(super) fn of(parts: Vec<Part>) -> Self {
        Self {
            parts: parts.into(),
            pause: None,
            size: None,
            guard: None,
        }
    }

    /// Keeps a request counted as being answered until its body has gone.
    pub(super) fn guarded(mut self, guard: InFlight) -> Self {
        self.guard = Some(guard);
        self
    }

    fn step(&mut self) -> Step {
        match self.parts.pop_front() {
            None => Step::End,
            Some(Part::Send(bytes)) => Step::Frame(bytes),
            Some(Part::Repeat(bytes, times)) => {
                if times > 1 {
                    self.parts
                        .push_front(Part::Repeat(bytes.clone(), times - 1));
                }
                Step::Frame(bytes)
            }
            Some(Part::Drip(mut bytes)) => {
                let drop = bytes.split_to(DROP_BYTES.min(bytes.len()));
                if !bytes.is_empty() {
                    self.parts.push_front(Part::Drip(bytes));
                    self.parts.push_front(Part::Wait(DROP_EVERY));
                }
                Step::Frame(drop)
            }
            Some(Part::Wait(length)) => Step::Wait(length),
            Some(Part::Silence) => {
                self.parts.push_front(Part::Silence);
                Step::Silence
            }
            Some(Part::Break) => Step::Break,
        }
    }
}

enum Step {
    Frame(Bytes),
    Wait(Duration),
    Silence,
    Break,
    End,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(pause) = self.pause.as_mut() {
                if pause.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.step() {
                Step::Frame(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Step::Wait(length) => self.pause = Some(Box::pin(tokio::time::sleep(length))),
                // The connection's reader wakes the task when the client goes away.
                Step::Silence => return Poll::Pending,
                Step::Break => {
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
                Step::End => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size.is_some() && self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// 256 MiB of one byte, without holding them.
pub(super) fn padding(byte: u8) -> Part {
    Part::Repeat(Bytes::from(vec![byte; CHUNK]), HUGE / CHUNK)
}

/// A gzip body that unpacks to 256 MiB of white space and then `tail`.
///
/// One MiB is packed once to whole bytes and repeated, because packing all of it would take seconds each time.
pub(super) fn gzip_bomb(tail: &[u8]) -> io::Result<Bytes> {
    packed_spaces(HUGE / UNIT, tail)
}

fn packed_spaces(units: usize, tail: &[u8]) -> io::Result<Bytes> {
    static SPACES: OnceLock<(Vec<u8>, Crc)> = OnceLock::new();
    let unit = if let Some(unit) = SPACES.get() {
        unit
    } else {
        let spaces = vec![b' '; UNIT];
        let mut check = Crc::new();
        check.update(&spaces);
        let packed = deflated(&spaces)?;
        SPACES.get_or_init(|| (packed, check))
    };

    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut check = Crc::new();
    for _ in 0..units {
        packed.extend_from_slice(&unit.0);
        check.combine(&unit.1);
    }
    packed.extend_from_slice(&deflated(tail)?);
    let mut last = Crc::new();
    last.update(tail);
    check.combine(&last);
    // An empty final block, then the trailer of RFC 1952.
    packed.extend_from_slice(&[0x03, 0x00]);
    packed.extend_from_slice(&check.sum().to_le_bytes());
    packed.extend_from_slice(&check.amount().to_le_bytes());
    Ok(packed.into())
}

/// Deflates to a whole number of bytes, without the mark of the last block, so that more can follow.
fn deflated(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.flush()?;
    // What is written by then ends with the empty stored block of the flush; `finish` would add the last block.
    Ok(encoder.get_ref().clone())
}

/// The first half of some bytes.
pub(super) fn half(bytes: &Bytes) -> Bytes {
    let mut rest = bytes.clone();
    rest.truncate(bytes.remaining() / 2);
    rest
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_bomb_is_small() {
        assert!(gzip_bomb(b"{}").unwrap().len() < 1 << 19);
    }

    #[test]
    fn packed_spaces_unpack_to_the_last_checked_byte() {
        let packed = packed_spaces(3, b"{\"data\":[]}").unwrap();
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain.len(), (3 << 20) + 11);
        assert_eq!(plain.trim_start(), "{\"data\":[]}");
    }
}
