//! The files that are made in the folder.

use std::io;
use std::path::{Path, PathBuf};

/// Names where the bucket lies, for all parts and for the tools.
const BUCKET: &str = "bucket.yml";
/// What the server scrapes; of the user once it is there.
const CONFIG: &str = "prometheus.yml";
/// Where this process' own pages are, which may change with each start.
const OWN: &str = "own";

/// A configuration that scrapes this process and this machine.
const FIRST_CONFIG: &str = r#"# Written by `aion up` at its first start, in the format of Prometheus. It is yours now: change it as you like, it is
# read again within seconds.
global:
  # Short, so that there is something to see at once; 15s is usual.
  scrape_interval: 2s
  # Tell this server's data from that of others in the same bucket: no two servers may have the same labels.
  external_labels: {cluster: local, replica: a}

scrape_configs:
  # This process. The file names its address, which may change with each start.
  - job_name: aion
    file_sd_configs: [{files: [own/aion.json]}]
  # This machine, under the names of node_exporter.
  - job_name: node
    file_sd_configs: [{files: [own/node.json]}]
"#;

/// The folder of all files.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder, made if it is not there.
    pub async fn open(dir: PathBuf) -> io::Result<Self> {
        tokio::fs::create_dir_all(dir.join(OWN)).await.map_err(|e| named(&dir, &e))?;
        Ok(Self(dir))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The file that describes a bucket in this folder, rewritten at each start since the folder may have moved.
    pub async fn bucket(&self) -> io::Result<PathBuf> {
        let (file, bucket) = (self.join(BUCKET), self.join("bucket"));
        tokio::fs::create_dir_all(&bucket).await.map_err(|e| named(&bucket, &e))?;
        let bucket = std::path::absolute(&bucket)?;
        let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {:?}\n", bucket.display().to_string());
        write(&file, &yaml).await?;
        Ok(file)
    }

    /// The configuration of the server, written if it is not there.
    pub async fn config(&self) -> io::Result<PathBuf> {
        let file = self.join(CONFIG);
        if !tokio::fs::try_exists(&file).await.map_err(|e| named(&file, &e))? {
            write(&file, FIRST_CONFIG).await?;
        }
        Ok(file)
    }

    /// Says where a page of this process is, for the job `job` of the configuration. `instance` stays the same when the
    /// address does not.
    pub async fn target(&self, job: &str, address: &str, instance: &str) -> io::Result<()> {
        let json = format!("[{{\"targets\": [{address:?}], \"labels\": {{\"instance\": {instance:?}}}}}]\n");
        write(&self.join(OWN).join(format!("{job}.json")), &json).await
    }
}

/// Writes a file whole: a reader sees the old or the new one.
async fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    tokio::fs::write(&new, text).await.map_err(|e| named(&new, &e))?;
    tokio::fs::rename(&new, path).await.map_err(|e| named(path, &e))
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_configuration_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("a b")).await.unwrap();
        let file = folder.config().await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), FIRST_CONFIG);
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(folder.config().await.unwrap(), file);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }

    #[tokio::test]
    async fn bucket_and_targets() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_owned()).await.unwrap();
        let yaml = std::fs::read_to_string(folder.bucket().await.unwrap()).unwrap();
        assert!(yaml.contains(&format!("directory: {:?}", dir.path().join("bucket"))), "{yaml}");
        folder.target("node", "127.0.0.1:9100", "vm").await.unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("own/node.json")).unwrap(),
            "[{\"targets\": [\"127.0.0.1:9100\"], \"labels\": {\"instance\": \"vm\"}}]\n"
        );
    }
}
