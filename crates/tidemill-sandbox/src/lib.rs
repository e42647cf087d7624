//! A rate-limited market data API to test clients against, with faults on request.
