variable "name" {
  type    = string
  default = "My Name"
}

source "file" "file" {
  target  = replace(lower(var.name), " ", "-")
  content = "${upper("x")} ${split(",", "a,b")[0]} {{replace `a` `b` 1 (${jsonencode(var.name)})}} {{clean_resource_name (${jsonencode(var.name)})}} {{clean_resource_name `a b`}}"
}

build {
  sources = ["source.file.file"]
}

