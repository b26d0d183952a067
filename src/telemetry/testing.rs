//! What is logged while a test listens.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// All that this thread has logged, at any level, since a test began to listen.
pub(crate) struct Heard {
    written: Written,
    _listening: DefaultGuard,
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Listens for as long as the answer is held.
pub(crate) fn listen() -> Heard {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    Heard {
        written,
        // With a single dispatcher tracing asks only the thread that comes to an event first, which may be another test's; with a
        // second one it asks all.
        _second: Dispatch::new(tracing_subscriber::registry()),
        _listening: tracing::subscriber::set_default(subscriber),
    }
}

impl Heard {
    /// What was logged so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }
}
