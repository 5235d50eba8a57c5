variable "one" {
  type    = string
  default = null
}

locals {
  one = var.one == null ? aws_secretsmanager("name", null) : var.one
}

source "file" "file" {
  target  = "out"
  content = local.one
}

build {
  sources = ["source.file.file"]
}

