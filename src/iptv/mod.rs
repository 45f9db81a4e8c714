//! iptv
