# The image for two architectures: `docker buildx bake --push`. Rendered, not run: no test had a builder for arm64.
#
# BASE is the base image by its digest, which a release gives. SOURCE_DATE_EPOCH is the time of the commit.

variable "REPOSITORY" {
  default = "manyserve/manyserve"
}

variable "VERSION" {
  default = "0.1.0"
}

variable "REVISION" {
  default = ""
}

variable "CREATED" {
  default = ""
}

variable "BASE" {
  default = "docker.io/library/python:3.11-slim"
}

group "default" {
  targets = ["image"]
}

target "image" {
  context    = "."
  dockerfile = "Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  tags       = ["${REPOSITORY}:${VERSION}"]
  args = {
    BASE     = BASE
    VERSION  = VERSION
    REVISION = REVISION
    CREATED  = CREATED
  }
  attest = ["type=provenance,mode=max", "type=sbom"]
}
