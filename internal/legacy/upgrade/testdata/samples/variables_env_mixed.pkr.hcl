variable "base" {
  type    = string
  default = "b"
}

variable "dir" {
  type    = string
  default = null
}

variable "again" {
  type    = string
  default = null
}

variable "env_HOME" {
  type    = string
  default = "mine"
}

variable "env_HOME_2" {
  type    = string
  default = env("HOME")
}

locals {
  dir   = var.dir == null ? "${var.env_HOME_2}/${var.base}" : var.dir
  again = var.again == null ? upper(var.env_HOME_2) : var.again
}

source "file" "file" {
  target  = "out"
  content = "${local.dir} ${local.again} ${var.env_HOME}"
}

build {
  sources = ["source.file.file"]
}

