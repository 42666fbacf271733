//! See the example `segment_a_photo`.
