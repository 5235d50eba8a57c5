variable "pw" {
  type      = string
  default   = null
  sensitive = true
}

variable "key" {
  type    = string
  default = null
}

variable "field" {
  type    = string
  default = null
}

variable "raw" {
  type    = string
  default = null
}

locals {
  key   = var.key == null ? "x-${consul_key("my/key")}" : var.key
  field = var.field == null ? aws_secretsmanager("name", "field") : var.field
  raw   = var.raw == null ? aws_secretsmanager_raw("name") : var.raw
}

local "pw" {
  expression = var.pw == null ? vault("/secret/data/foo", "password") : var.pw
  sensitive  = true
}

source "file" "file" {
  target  = "out"
  content = "${local.pw} ${local.key} ${local.field} ${local.raw}"
}

build {
  sources = ["source.file.file"]
}

