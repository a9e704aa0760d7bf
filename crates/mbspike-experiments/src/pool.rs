use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// A pool of as many threads as rayon would take: `RAYON_NUM_THREADS`, or the cores.
pub fn thread_pool() -> Result<Arc<ThreadPool>, Error> {
    Ok(Arc::new(ThreadPoolBuilder::new().build()?))
}
