variable "kind" {
  type    = string
  default = "big"
}

variable "flag" {
  type    = string
  default = ""
}

variable "size" {
  type    = string
  default = null
}

locals {
  timestamp = rfc3339_parse(legacy_isotime()).unix
  size      = var.size == null ? (var.kind == "big" ? "100" : (var.kind == "small" ? "10" : "1")) : var.size
}

source "file" "file" {
  target  = var.flag != "" ? "on" : "off"
  content = "${(var.kind == "big") && (!(var.flag != "")) ? "a ${local.size}" : ""}${var.kind != "x" ? "-${local.timestamp}" : ""}"
}

build {
  sources = ["source.file.file"]
}

