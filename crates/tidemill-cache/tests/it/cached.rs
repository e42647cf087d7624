//! Functions behind the attribute: what is their key, what is loaded, what they say.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_cache::{ErrorKind, Named, cached};

type Loads = Arc<AtomicU64>;

/// The mean of so many days.
#[cached(ttl = "60s", capacity = 100, skip(loads))]
async fn mean(loads: Loads, symbol: &str, days: u32) -> Result<f64, io::Error> {
    loads.fetch_add(1, Ordering::Relaxed);
    let length = u32::try_from(symbol.len()).map_err(io::Error::other)?;
    if days == 0 {
        return Err(io::Error::other("no days"));
    }
    Ok(f64::from(length * days))
}

#[cached(name = "quotes", capacity = 1)]
async fn quote(symbol: String) -> Result<String, io::Error> {
    Ok(symbol)
}

#[cached(capacity = "1MB", weigh = bytes)]
async fn text(key: u64) -> Result<Arc<str>, io::Error> {
    Ok("x".repeat(usize::try_from(key).map_err(io::Error::other)?).into())
}

fn bytes(_key: &(u64,), text: &Arc<str>) -> u64 {
    text.len() as u64
}

#[tokio::test]
async fn it_is_called_once_a_key() {
    let loads = Loads::default();
    for _ in 0..3 {
        assert_eq!(mean(Arc::clone(&loads), "AAPL", 20).await.unwrap(), 80.0);
    }
    assert_eq!(mean(Arc::clone(&loads), "AAPL", 5).await.unwrap(), 20.0);
    assert_eq!(loads.load(Ordering::Relaxed), 2);
    mean_cache().unwrap().remove(&("AAPL".to_owned(), 20)).await;
    mean(Arc::clone(&loads), "AAPL", 20).await.unwrap();
    assert_eq!(loads.load(Ordering::Relaxed), 3);
    let failed = mean(loads, "AAPL", 0).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Load);
    assert_eq!(failed.load_error::<io::Error>().unwrap().to_string(), "no days");
}

#[tokio::test]
async fn an_installed_setting_comes_before_the_attributes() {
    let named: Named = serde_json::from_str(r#"{"quotes": {"capacity": 2000, "ttl": "10m"}}"#).unwrap();
    named.clone().install().unwrap();
    assert_eq!(quote("AAPL".to_owned()).await.unwrap(), "AAPL");
    assert_eq!(quote_cache().unwrap().memory().capacity(), 2000);
    assert!(named.install().unwrap_err().to_string().contains("once"));
}

#[tokio::test]
async fn bytes_are_weighed() {
    assert_eq!(text(500).await.unwrap().len(), 500);
    assert_eq!(text_cache().unwrap().stats().memory.weight, 564);
}
