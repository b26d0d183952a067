//! Reads a body to its end, decompressed, and never more of it than is allowed.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header::CONTENT_ENCODING};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::{FailureKind, UpstreamError};

/// RFC 9659: what a zstd content coding may ask for; the library alone would allow 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

const CHUNK: usize = 16 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
    /// What HTTP calls deflate, which is zlib, RFC 1950.
    Deflate,
    /// brotli, RFC 7932.
    Brotli,
    /// zstd, RFC 8878.
    Zstd,
}

impl Coding {
    /// Reads `Content-Encoding`; several codings on top of each other are refused like an unknown one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, UpstreamError> {
        let mut coding = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            let names = value.to_str().map_err(|_| garbled("content coding"))?;
            for name in names.split(',').map(str::trim) {
                let next = match name.to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    "zstd" => Self::Zstd,
                    _ => return Err(garbled("unknown content coding")),
                };
                if coding != Self::Identity {
                    return Err(garbled("several content codings"));
                }
                coding = next;
            }
        }
        Ok(coding)
    }
}

/// What was read, and why reading ended early if it did.
pub(super) struct Read {
    /// The decompressed bytes, at most as many as allowed.
    pub(super) bytes: Bytes,
    /// Set when this is not the whole body.
    pub(super) failure: Option<UpstreamError>,
}

/// Reads at most `cap` bytes, both as sent and decompressed.
pub(super) async fn read(
    stream: impl Stream<Item = Result<Bytes, UpstreamError>> + Send + Unpin,
    coding: Coding,
    cap: usize,
) -> Read {
    let mut received = 0_usize;
    let counted = stream.map(|chunk| {
        let chunk = chunk.map_err(|error| io::Error::other(WireFailure(error)))?;
        received = received.saturating_add(chunk.len());
        if received > cap {
            return Err(io::Error::other(WireFailure(too_large(cap))));
        }
        Ok(chunk)
    });
    let mut wire = StreamReader::new(counted);
    // No body at all is no broken body, though its headers name a coding.
    let coding = match wire.fill_buf().await {
        Ok([]) => Coding::Identity,
        Ok(_) => coding,
        Err(error) => {
            return Read {
                bytes: Bytes::new(),
                failure: Some(failure(error)),
            };
        }
    };
    match coding {
        Coding::Identity => drain(wire, cap).await,
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(wire);
            decoder.multiple_members(true);
            drain(decoder, cap).await
        }
        Coding::Deflate => drain(ZlibDecoder::new(wire), cap).await,
        Coding::Brotli => drain(BrotliDecoder::new(wire), cap).await,
        Coding::Zstd => drain(zstd(wire), cap).await,
    }
}

fn zstd<R: AsyncBufRead>(wire: R) -> ZstdDecoder<R> {
    let mut decoder =
        ZstdDecoder::with_params(wire, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
    decoder.multiple_members(true);
    decoder
}

async fn drain(reader: impl AsyncRead + Send, cap: usize) -> Read {
    let mut reader = std::pin::pin!(reader);
    let mut bytes: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let failure = loop {
        match reader.read(&mut chunk).await {
            Ok(0) => break None,
            Ok(count) => {
                // A whole body may be ready at once; decompressing it must not keep others from their turn.
                tokio::task::coop::consume_budget().await;
                let room = cap - bytes.len();
                let taken = count.min(room);
                if bytes.capacity() - bytes.len() < taken {
                    // Doubling, but never past the cap.
                    let more = bytes.len().max(CHUNK).min(room);
                    bytes.reserve_exact(more.max(taken));
                }
                bytes.extend_from_slice(&chunk[..taken]);
                if count > room {
                    break Some(too_large(cap));
                }
            }
            Err(error) => break Some(failure(error)),
        }
    };
    Read {
        bytes: bytes.into(),
        failure,
    }
}

/// A failure below the decoder, carried through it as an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("the body could not be read")]
struct WireFailure(UpstreamError);

fn failure(error: io::Error) -> UpstreamError {
    match error.downcast::<WireFailure>() {
        Ok(WireFailure(failure)) => failure,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            UpstreamError::new(FailureKind::Interrupted)
                .with_text("the body ends within its content coding")
        }
        Err(error) => garbled(&format!("content coding: {error}")),
    }
}

pub(super) fn too_large(cap: usize) -> UpstreamError {
    UpstreamError::new(FailureKind::TooLarge).with_text(format!("more than {cap} bytes"))
}

fn garbled(text: &str) -> UpstreamError {
    UpstreamError::new(FailureKind::Garbled).with_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_all(data: Vec<u8>, coding: Coding, cap: usize) -> Read {
        let chunks: Vec<_> = data
            .chunks(1000)
            .map(Bytes::copy_from_slice)
            .map(Ok)
            .collect();
        read(stream::iter(chunks), coding, cap).await
    }

    #[tokio::test]
    async fn every_offered_coding_is_read() {
        use async_compression::tokio::bufread as encode;
        let text = b"{\"name\":\"a\"}".repeat(1000);
        let mut coded = vec![
            (Coding::Identity, text.clone()),
            (Coding::Gzip, gzip(&text)),
        ];
        let mut deflate = Vec::new();
        encode::ZlibEncoder::new(&text[..])
            .read_to_end(&mut deflate)
            .await
            .unwrap();
        coded.push((Coding::Deflate, deflate));
        let mut brotli = Vec::new();
        encode::BrotliEncoder::with_quality(&text[..], async_compression::Level::Fastest)
            .read_to_end(&mut brotli)
            .await
            .unwrap();
        coded.push((Coding::Brotli, brotli));
        let mut zstd = Vec::new();
        encode::ZstdEncoder::new(&text[..])
            .read_to_end(&mut zstd)
            .await
            .unwrap();
        coded.push((Coding::Zstd, zstd));
        for (coding, data) in coded {
            let read = read_all(data.clone(), coding, text.len()).await;
            assert!(read.failure.is_none(), "{coding:?}");
            assert!(read.bytes == text, "{coding:?}");
            if coding != Coding::Identity {
                let cut = read_all(data[..data.len() / 2].to_vec(), coding, text.len()).await;
                // Not every decoder tells a cut body from a wrong one.
                let kind = cut.failure.unwrap().kind;
                assert!(
                    matches!(kind, FailureKind::Interrupted | FailureKind::Garbled),
                    "{coding:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_bomb_of_256_mebibytes_stops_at_the_cap() {
        let bomb = gzip(&vec![0; 1 << 20]).repeat(256);
        let cap = 2 << 20;
        assert!(bomb.len() < cap);
        let read = read_all(bomb, Coding::Gzip, cap).await;
        assert_eq!(read.failure.unwrap().kind, FailureKind::TooLarge);
        assert_eq!(read.bytes.len(), cap);
    }

    #[tokio::test]
    async fn bytes_as_sent_are_capped_too() {
        let read = read_all(vec![b' '; 5000], Coding::Identity, 4999).await;
        assert_eq!(read.failure.unwrap().kind, FailureKind::TooLarge);
        let read = read_all(vec![b' '; 5000], Coding::Identity, 5000).await;
        assert!(read.failure.is_none());
        assert_eq!(read.bytes.len(), 5000);
    }

    #[tokio::test]
    async fn an_empty_body_is_empty_whatever_its_coding() {
        for coding in [
            Coding::Identity,
            Coding::Gzip,
            Coding::Deflate,
            Coding::Brotli,
            Coding::Zstd,
        ] {
            let read = read_all(Vec::new(), coding, 10).await;
            assert!(read.failure.is_none(), "{coding:?}");
            assert!(read.bytes.is_empty());
        }
    }

    #[tokio::test]
    async fn a_zstd_window_has_a_bound() {
        // Frame header: no content size, window of 128 MiB, then one raw block of one byte.
        let frame = [
            0x28,
            0xb5,
            0x2f,
            0xfd,
            0x00,
            17 << 3,
            0x09,
            0x00,
            0x00,
            b'1',
        ];
        let read = read_all(frame.to_vec(), Coding::Zstd, 10).await;
        assert_eq!(read.failure.unwrap().kind, FailureKind::Garbled);
        let frame = [
            0x28,
            0xb5,
            0x2f,
            0xfd,
            0x00,
            13 << 3,
            0x09,
            0x00,
            0x00,
            b'1',
        ];
        let read = read_all(frame.to_vec(), Coding::Zstd, 10).await;
        assert!(read.failure.is_none());
        assert_eq!(read.bytes.as_ref(), b"1");
    }

    #[tokio::test]
    async fn what_is_not_gzip_is_garbled() {
        let read = read_all(b"{}".to_vec(), Coding::Gzip, 100).await;
        assert_eq!(read.failure.unwrap().kind, FailureKind::Garbled);
    }

    #[test]
    fn unknown_and_stacked_codings_are_refused() {
        for (value, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("identity", Some(Coding::Identity)),
            ("identity, br", Some(Coding::Brotli)),
            ("compress", None),
            ("gzip, gzip", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, value.parse().unwrap());
            assert_eq!(Coding::of(&headers).ok(), coding, "{value}");
        }
    }
}
