# Points the tests at the MinIO of compose.yml: source this file.
export TEST_S3_ENDPOINT=http://127.0.0.1:9000
export TEST_S3_BUCKET=aion-test
export TEST_S3_REGION=us-east-1
export TEST_S3_ACCESS_KEY=minioadmin
export TEST_S3_SECRET_KEY=minioadmin
