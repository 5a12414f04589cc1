//! The bucket: Thanos YAML on object_store.
