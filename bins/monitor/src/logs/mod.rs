//! Log files: read, searched, clustered.
