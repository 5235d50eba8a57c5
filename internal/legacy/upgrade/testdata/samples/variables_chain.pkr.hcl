variable "c" {
  type    = string
  default = null
}

variable "b" {
  type    = string
  default = null
}

variable "a" {
  type    = string
  default = "x"
}

locals {
  c = var.c == null ? "${local.b}-${var.a}" : var.c
  b = var.b == null ? "${var.a}!" : var.b
}

source "file" "file" {
  target  = local.c
  content = local.b
}

build {
  sources = ["source.file.file"]
}

