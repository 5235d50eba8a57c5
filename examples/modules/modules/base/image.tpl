${title}
made from a template
