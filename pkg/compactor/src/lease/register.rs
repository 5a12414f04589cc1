//! A value in the bucket that only one of many writers can change at a time. It needs conditional creates, listings and
//! deletes.
//!
//! The versions of the value are objects with rising numbers in one directory; the highest number is the value. A writer
//! reads version n, creates version n + 1 on the condition that it does not exist, and lists the directory. The change
//! took place only if no higher version is there. The listing makes it safe to delete old versions: a writer that stood
//! still since it read n may create n + 1 once more, but then the listing shows it a higher version. The highest version
//! is never deleted.

use bytes::Bytes;
use futures::stream::TryStreamExt;
use objstore::{Bucket, ConditionalCreate, Created, Object};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often a read is repeated when the version was deleted meanwhile.
const READS_MAX: usize = 5;
/// How often a create is sent when its answer is lost.
const CREATES_MAX: usize = 3;
const SUFFIX: &str = ".json";

/// A register, by the directory of its versions.
#[derive(Debug, Clone)]
pub(crate) struct Register {
    pub(crate) bucket: Bucket,
    /// The directory, without a slash at its end.
    pub(crate) dir: String,
    pub(crate) conditional: ConditionalCreate,
}

/// The value as one writer left it.
#[derive(Debug, Clone)]
pub(crate) struct Version<T> {
    pub(crate) number: u64,
    /// When it was written, by the store's clock.
    pub(crate) written_ms: i64,
    pub(crate) value: T,
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is the value now, written at this time by the store's clock.
    Yes { written_ms: i64 },
    /// Another writer changed the value before.
    No,
}

/// Why a register could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error(transparent)]
    Bucket(#[from] objstore::Error),
    #[error("{path}: {what}; if no newer version of the program wrote it, delete the object")]
    Corrupt { path: String, what: String },
}

/// The number of a version by its path.
pub(crate) fn number(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?.strip_suffix(SUFFIX)?;
    if name.len() == 20 { name.parse().ok() } else { None }
}

impl Register {
    fn path(&self, number: u64) -> String {
        format!("{}/{number:020}{SUFFIX}", self.dir)
    }

    async fn list(&self) -> Result<Vec<(u64, Object)>, objstore::Error> {
        let objects: Vec<Object> = self.bucket.list_recursive(&self.dir).try_collect().await?;
        let mut versions: Vec<_> = objects.into_iter().filter_map(|o| Some((number(&o.path)?, o))).collect();
        versions.sort_by_key(|(n, _)| *n);
        Ok(versions)
    }

    /// The newest version's number, 0 if there was never one. One listing.
    pub(crate) async fn newest(&self) -> Result<u64, objstore::Error> {
        Ok(self.list().await?.last().map_or(0, |(n, _)| *n))
    }

    /// The value, or `None` if there was never one.
    pub(crate) async fn read<T: DeserializeOwned>(&self) -> Result<Option<Version<T>>, RegisterError> {
        for _ in 0..READS_MAX {
            let versions = self.list().await?;
            let Some((number, object)) = versions.last() else { return Ok(None) };
            match self.bucket.get(&object.path).await {
                Ok(body) => {
                    let corrupt = |e: serde_json::Error| RegisterError::Corrupt {
                        path: object.path.clone(),
                        what: e.to_string(),
                    };
                    let value = serde_json::from_slice(&body).map_err(corrupt)?;
                    return Ok(Some(Version { number: *number, written_ms: object.last_modified_ms, value }));
                }
                // A newer version was written and this one deleted.
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e.into()),
            }
        }
        let what = "changes faster than it can be read".to_owned();
        Err(RegisterError::Corrupt { path: self.dir.clone(), what })
    }

    /// Makes `value` version `number`. It must differ from what any other writer would write.
    ///
    /// After an error it is not known whether the change took place.
    pub(crate) async fn create<T: Serialize>(&self, number: u64, value: &T) -> Result<Changed, RegisterError> {
        let path = self.path(number);
        let json = serde_json::to_vec(value);
        let json = json.map_err(|e| RegisterError::Corrupt { path: path.clone(), what: e.to_string() })?;
        let json = Bytes::from(json);
        let mut attempt = 1;
        let created = loop {
            let outcome = match self.conditional {
                ConditionalCreate::Honoured => self.bucket.put_if_absent(&path, json.clone()).await,
                ConditionalCreate::Ignored => self.bucket.put(&path, json.clone()).await.map(|()| Created::Created),
            };
            match outcome {
                // Creating the same object again does no harm.
                Err(e) if e.kind().is_transient() && attempt < CREATES_MAX => attempt += 1,
                // The create was refused, and the object is gone: other writers have gone on since.
                Err(e) if e.is_not_found() => return Ok(Changed::No),
                outcome => break outcome?,
            }
        };
        if created == Created::AlreadyExists {
            return Ok(Changed::No);
        }
        let versions = self.list().await?;
        match versions.last() {
            Some((newest, object)) if *newest == number => {
                for (_, old) in &versions[..versions.len() - 1] {
                    // An old version that stays does no harm.
                    if let Err(e) = self.bucket.delete(&old.path).await {
                        tracing::debug!(path = old.path, err = %e, "old version of a lease not removed");
                    }
                }
                Ok(Changed::Yes { written_ms: object.last_modified_ms })
            }
            _ => Ok(Changed::No),
        }
    }

    /// Removes all of it. Only for registers that nobody will use again.
    pub(crate) async fn remove(&self) -> Result<(), objstore::Error> {
        for (_, object) in self.list().await? {
            self.bucket.delete(&object.path).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use objstore::faults::{Effect, Faults};
    use objstore::{ErrorKind, Op};

    fn register(bucket: &Bucket) -> Register {
        Register { bucket: bucket.clone(), dir: "leases/a".to_owned(), conditional: ConditionalCreate::Honoured }
    }

    async fn value(register: &Register) -> Option<(u64, String)> {
        register.read::<String>().await.unwrap().map(|v| (v.number, v.value))
    }

    #[tokio::test]
    async fn one_of_two_writers_wins() {
        let bucket = Bucket::in_memory();
        let register = register(&bucket);
        assert_eq!(value(&register).await, None);
        assert!(matches!(register.create(1, &"a").await.unwrap(), Changed::Yes { .. }));
        assert_eq!(register.create(1, &"b").await.unwrap(), Changed::No);
        assert!(matches!(register.create(2, &"b").await.unwrap(), Changed::Yes { .. }));
        assert_eq!(value(&register).await, Some((2, "b".to_owned())));
        assert_eq!(bucket.list_recursive("").try_collect::<Vec<_>>().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_writer_that_slept_sees_that_others_went_on() {
        let bucket = Bucket::in_memory();
        let register = register(&bucket);
        for n in 1..=5 {
            register.create(n, &n.to_string()).await.unwrap();
        }
        // it had read version 1; number 2 is free again
        assert_eq!(register.create(2, &"late").await.unwrap(), Changed::No);
        assert_eq!(value(&register).await, Some((5, "5".to_owned())));
    }

    #[tokio::test]
    async fn a_lost_answer_is_not_a_lost_change() {
        let (bucket, faults) = (Bucket::in_memory(), Faults::new());
        let register = register(&bucket.decorated(faults.clone()));
        faults.once("lost", Op::Upload, "leases", Effect::FailAfter(ErrorKind::Timeout));
        assert!(matches!(register.create(1, &"a").await.unwrap(), Changed::Yes { .. }));
        assert_eq!(faults.hits("lost"), 1);
        // another's, deleted for a newer one before it could be compared
        bucket.put("leases/a/00000000000000000002.json", "{").await.unwrap();
        faults.once("gone", Op::Attributes, "leases", Effect::Fail(ErrorKind::NotFound));
        assert_eq!(register.create(2, &"a").await.unwrap(), Changed::No);
        assert_eq!(faults.hits("gone"), 1);
        let error = register.read::<String>().await.unwrap_err().to_string();
        assert!(error.contains("delete the object"), "{error}");
    }
}
