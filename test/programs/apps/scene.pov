// Spheres of glass and metal over a floor, seen from a point that moves with the clock.
#version 3.7;
global_settings { assumed_gamma 1 }
camera { location <4 * sin(clock * 6), 3, -5 + clock> look_at <0, 0.8, 0> }
light_source { <5, 8, -6> rgb 1 }
plane { y, 0 pigment { checker rgb <0.9, 0.9, 0.8> rgb <0.2, 0.3, 0.4> } finish { reflection 0.2 } }
#declare S = seed(7);
#for (I, 1, 12)
  sphere {
    <rand(S) * 4 - 2, 0.3 + rand(S), rand(S) * 4 - 2>, 0.3
    pigment { rgbf <rand(S), rand(S), rand(S), mod(I, 2) * 0.8> }
    finish { specular 0.6 reflection 0.25 }
    interior { ior 1.4 }
  }
#end
