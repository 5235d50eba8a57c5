variable "has_space_2" {
  type    = string
  default = "1"
}

variable "has_dot" {
  type    = string
  default = "2"
}

variable "_9th" {
  type    = string
  default = "3"
}

variable "ünicode" {
  type    = string
  default = "4"
}

variable "has_space" {
  type    = string
  default = "5"
}

source "file" "file" {
  target  = "out"
  content = "${var.has_space_2}${var.has_dot}${var._9th}${var.ünicode}${var.has_space}"
}

build {
  sources = ["source.file.file"]
}

