//! The store over real files, and the recorder over one that fails as told.
