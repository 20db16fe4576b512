//! What fuzz targets share.

pub mod forge;
