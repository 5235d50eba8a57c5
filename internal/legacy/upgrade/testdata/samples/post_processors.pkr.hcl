source "file" "file" {
  target  = "out"
  content = "x"
}

build {
  sources = ["source.file.file"]

  post-processor "manifest" {}

  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "{{.BuildName}}_{{.ChecksumType}}.sum"
  }

  post-processors {
    post-processor "artifice" {
      name  = "again"
      files = ["out"]
    }

    post-processor "compress" {
      output = "x.tar.gz"
    }

    post-processor "manifest" {}
  }
}

