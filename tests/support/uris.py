"""URIs of models: good ones, and inputs 7 and 8 of docs/inputs.md with the sentence of each refusal."""

from __future__ import annotations

SCHEMES = "must start with one of: gs://, s3://, https://, http://, az://, abfss://, pvc://, hf://"
PLAIN = "must be scheme://place/path, without spaces, user names, queries, fragments or '..'"
HTTPS = "must be https://host[:port]/path, the host in ASCII (xn-- for other letters) without a dot at its end"

GOOD = [
    "gs://kfserving-examples/models/torchscript/cifar10",
    "s3://bucket/folder/",
    "s3://Old_Bucket.of.2009/a-b/c",
    "https://example.com/models/m.tar.gz",
    "https://example.com:8443/models/@v1/m.zip",
    "https://xn--mnchen-3ya.example/m.onnx",
    "https://account.blob.core.windows.net/container/path",
    "https://93.184.216.34/m.tar",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/m.tar",
    "az://container/path",
    "abfss://container@account.dfs.core.windows.net/path",
    "pvc://claim/models/m",
    "pvc://claim",
    "hf://organisation/model",
    "hf://organisation/model.v1:main",
    "hf://organisation/model/folder/of/it:refs/pr/1",
    "hf://organisation/model:0123456789abcdef0123456789abcdef01234567",
]

MALFORMED = {
    "no scheme": ("bucket/path", SCHEMES),
    "capitals": ("S3://bucket/path", SCHEMES),
    "a file": ("file:///etc/shadow", SCHEMES),
    "nothing after the scheme": ("s3://", "must be s3://bucket/path"),
    "no bucket": ("s3:///k", "must be s3://bucket/path"),
    "no path in a bucket": ("gs://bucket", "must be gs://bucket/path"),
    "slashes for a path": ("s3://bucket//", "must be s3://bucket/path"),
    "no path in a container": ("az://container/", "must be az://container/path"),
    "no host": ("https:///k", HTTPS),
    "no path": ("https://example.com", HTTPS),
    "a claim that leads up": ("pvc://../x", PLAIN),
    "no claim": ("pvc:///x", "must be pvc://claim/path"),
    "a claim in capitals": ("pvc://Claim/x", "must be pvc://claim/path"),
    "a way up": ("gs://bucket/../secrets", PLAIN),
    "NUL": ("gs://bucket/x\0y", PLAIN),
    "CR LF": ("gs://bucket/x\r\ny", PLAIN),
    "a space": ("gs://bucket/x y", PLAIN),
    "a no-break space": ("gs://bucket/x\u00a0y", PLAIN),
    "a right-to-left mark": ("gs://bucket/x\u200fy", PLAIN),
    "user and password": ("https://user:pw@example.com/x", PLAIN),
    "user and password of a bucket": ("gs://user:pw@bucket/x", PLAIN),
    "a signed URL": ("https://example.com/x?X-Amz-Signature=pw", PLAIN),
    "a fragment": ("https://example.com/x#pw", PLAIN),
    "port 0": ("https://example.com:0/x", HTTPS),
    "port 99999": ("https://example.com:99999/x", HTTPS),
    "port 65536": ("http://example.com:65536/x", "must be http://host[:port]/path"),
    "a port of a bucket": ("gs://bucket:80/x", "must be gs://bucket/path"),
    "an international name": ("https://münchen.example/x", HTTPS),
    "a dot at the end of the host": ("https://example.com./x", HTTPS),
    "a dot at the end of the bucket": ("gs://bucket./x", "must be gs://bucket/path"),
    "letters of other scripts": ("gs://bücket/x", "must be gs://bucket/path"),
    "another cloud's host": ("abfss://c@account.example.com/x", "must be abfss://container@account.dfs.core"),
    "no account": ("abfss://container/x", "must be abfss://container@account.dfs.core"),
    "capitals in a container": ("az://Container/x", "must be az://container/path"),
    "no model": ("hf://organisation", "must be hf://organisation/model"),
}
TOO_LONG = "gs://bucket/" + "a" * 65536

PUBLIC = "; it must be a public host, unless credentials.https.allowedNetworks"
CLOUD = f"is an address of the cloud's own services{PUBLIC}"
LOOPBACK = f"is a loopback address{PUBLIC}"
PRIVATE = f"is a private address{PUBLIC}"
ODD = "is an address in an odd spelling; write four numbers from 0 to 255, with dots"
INSIDE = f"is a name inside the cluster{PUBLIC}"
NOT_PUBLIC = {
    "https://169.254.169.254/latest": CLOUD,
    "https://[::ffff:169.254.169.254]/latest": CLOUD,
    "https://[64:ff9b::a9fe:a9fe]/latest": CLOUD,
    "https://[fd00:ec2::254]/latest": CLOUD,
    "https://100.100.100.200/latest": CLOUD,
    "https://127.0.0.1:8080/v2/repository/models/m/load": LOOPBACK,
    "https://localhost:8080/v2/repository/models/m/load": LOOPBACK,
    "https://10.0.0.1/m": PRIVATE,
    "https://168.63.129.16/m": CLOUD,
    "https://100.64.0.1/m": f"is not a public address{PUBLIC}",
    "https://224.0.0.1/m": f"is a multicast address{PUBLIC}",
    "https://[::1]/m": LOOPBACK,
    "https://2130706433/m": ODD,
    "https://0x7f.1/m": ODD,
    "https://0177.0.0.1/m": ODD,
    "https://127.1/m": ODD,
    "https://kubernetes/m": INSIDE,
    "https://kubernetes.default.svc/m": INSIDE,
    "https://minio.storage.svc.cluster.local/m": INSIDE,
    "https://metadata.google.internal/m": INSIDE,
}
