variable "zone" {
  type    = string
  default = "z1"
}

variable "empty" {
  type    = string
  default = ""
}

variable "number" {
  type    = string
  default = "12"
}

variable "a-b" {
  type    = string
  default = "dash"
}

source "file" "file" {
  target  = "${var.zone}-${var.empty}-${var.number}"
  content = var.a-b
}

build {
  sources = ["source.file.file"]
}

