variable "now" {
  type    = string
  default = null
}

variable "iso" {
  type    = string
  default = null
}

variable "day" {
  type    = string
  default = null
}

variable "year" {
  type    = string
  default = null
}

locals {
  timestamp = rfc3339_parse(legacy_isotime()).unix
  now       = var.now == null ? "${local.timestamp}" : var.now
  iso       = var.iso == null ? legacy_isotime() : var.iso
  day       = var.day == null ? legacy_isotime("2006-01-02") : var.day
  year      = var.year == null ? legacy_strftime("%Y") : var.year
}

source "file" "file" {
  target  = "out"
  content = "${local.now} ${local.iso} ${local.day} ${local.year}"
}

build {
  sources = ["source.file.file"]
}

