//! Answers of market data providers, classified, validated and turned into columns; nothing is dropped in silence.
