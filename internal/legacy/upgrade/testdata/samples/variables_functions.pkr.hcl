variable "name" {
  type    = string
  default = "Some Name"
}

variable "up" {
  type    = string
  default = null
}

variable "low" {
  type    = string
  default = null
}

variable "dash" {
  type    = string
  default = null
}

variable "all" {
  type    = string
  default = null
}

variable "second" {
  type    = string
  default = null
}

variable "version" {
  type    = string
  default = null
}

variable "dir" {
  type    = string
  default = null
}

variable "root" {
  type    = string
  default = null
}

locals {
  up      = var.up == null ? upper(var.name) : var.up
  low     = var.low == null ? lower(var.name) : var.low
  dash    = var.dash == null ? replace(var.name, " ", "-") : var.dash
  all     = var.all == null ? replace(var.name, "e", "3") : var.all
  second  = var.second == null ? split(" ", var.name)[1] : var.second
  version = var.version == null ? packer.version : var.version
  dir     = var.dir == null ? path.cwd : var.dir
  root    = var.root == null ? abspath(path.root) : var.root
}

source "file" "file" {
  target  = "out"
  content = "${local.up} ${local.low} ${local.dash} ${local.all} ${local.second} ${local.version} ${local.dir} ${local.root}"
}

build {
  sources = ["source.file.file"]
}

