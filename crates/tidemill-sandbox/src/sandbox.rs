//! The sandbox before it serves: what it holds and how it is built.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::error::Error;
use crate::series::Bar;
use crate::serve::Running;
use crate::symbols::Symbols;

/// A market data API over loopback, rate-limited and faulty as configured.
#[derive(Clone, Debug)]
pub struct Sandbox {
    pub(crate) config: Arc<Config>,
    pub(crate) symbols: Arc<Symbols>,
}

/// Makes a [`Sandbox`] of a [`Config`].
#[derive(Clone, Debug)]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// Checks every bound and unpacks the bundled bars.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) names the field that is out of its bounds.
    pub fn build(self) -> Result<Sandbox, Error> {
        self.config.validate()?;
        let symbols = Arc::new(Symbols::new(self.config.symbols, self.config.seed)?);
        Ok(Sandbox { config: Arc::new(self.config), symbols })
    }
}

impl Sandbox {
    /// Starts from a configuration.
    pub fn builder(config: Config) -> Builder {
        Builder { config }
    }

    /// The listed symbols: `AAPL`, `FB`, `GOOG`, `IBM`, `MSFT`, `SYM0005` and so on. `GSPC`, the index, is answered
    /// as well and not listed.
    pub fn symbols(&self) -> impl Iterator<Item = String> + use<> {
        self.symbols.names()
    }

    /// The bars it serves for a symbol, newest first; `None` for an unknown symbol. This is the truth to compare a
    /// client's harvest with: the prices are the doubles nearest to the decimals on the wire.
    pub fn bars(&self, symbol: &str) -> Option<impl Iterator<Item = Bar> + use<'_>> {
        let series = self.symbols.series(self.symbols.position(symbol)?)?;
        let decimals = series.decimals();
        Some(series.newest_first().map(move |row| row.bar(decimals)))
    }

    /// Serves on `listener` until [`Running::close`] is called or the handle is dropped. Its quotas start empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the listener has no local address.
    pub async fn serve(&self, listener: TcpListener) -> Result<Running, Error> {
        Running::start(self.clone(), listener)
    }
}
